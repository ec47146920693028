# A script in a browser (Debian's chromium, headless): a page of one origin
# asks an API of another until it is rejected, and writes what it could read.

use strict;
use warnings;

use ApiscaleServer;
use File::Temp qw(tempdir);
use POSIX ();
use Test::More;

plan skip_all => 'browsers do not see reloads' if $ENV{TEST_NGINX_USE_HUP};

# for a browser that starts on a busy machine
use constant SECONDS => 120;

my $s = ApiscaleServer->new;
my ($page, $api, $origin) = map { $s->port + $_ } 0 .. 2;
my $dir = tempdir('apiscale-browser-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $browser;

sub stop_browser {
    my $pid = $browser or return;
    undef $browser;
    kill 'KILL', -$pid;
    waitpid $pid, 0;
}

END {
    local $?;
    stop_browser();
}

# Runs a browser, which is a group of processes, until it has shown a page
# whose script has nothing left to wait for; returns the page as it is then.
sub dump_dom {
    my ($url) = @_;

    $browser = open(my $from, '-|') // die "fork: $!";

    if ($browser == 0) {
        setpgrp;
        open STDIN, '<', '/dev/null';
        open STDERR, '>', "$dir/stderr";
        @ENV{qw(HOME TMPDIR)} = ($dir) x 2;
        delete @ENV{grep { /^(?:XDG_|DBUS_|DISPLAY$)/ } keys %ENV};
        exec 'chromium', qw(--headless --no-sandbox --disable-gpu
            --disable-dev-shm-usage --no-first-run --no-proxy-server
            --disable-background-networking --disable-component-update
            --disable-sync --disable-extensions --disable-breakpad),
            "--user-data-dir=$dir/profile", '--virtual-time-budget=60000',
            '--dump-dom', $url
            or print STDERR "chromium: $!\n";
        POSIX::_exit(127);
    }

    local $/;
    local $SIG{ALRM} = sub { stop_browser() };
    alarm SECONDS;
    my $dom = <$from> // '';
    alarm 0;
    stop_browser();
    close $from;

    return $dom;
}

sub slurp {
    my ($file) = @_;
    open(my $in, '<', $file) or return '';
    local $/;
    return scalar(<$in>) // '';
}

my $script = <<'END';
const out = document.getElementById('out');

// the fields that a script could read
async function call(path, options) {
    let said = path;

    try {
        const r = await fetch('http://127.0.0.1:API' + path, options);
        said += ' ' + r.status;
        for (const [name, value] of r.headers) {
            if (!/^(content-|cache-control$)/.test(name))
                said += ' | ' + name + ': ' + value;
        }
        if (r.status == 429) {
            const problem = await r.json();
            said += ' | code ' + problem.code;
        }
    } catch (e) {
        said += ' ' + e.name;
    }

    out.textContent += said + '\n';
}

async function main() {
    for (let i = 0; i < 3; i++)
        await call('/simple');
    for (let i = 0; i < 3; i++)
        await call('/custom', { method: 'PUT', headers: { 'X-Custom': 'a' } });
    await call('/cookies', { credentials: 'include' });
    await call('/v1/old');
    await call('/unlimited');
    await call('/closed');
    out.textContent += 'end\n';
}

main();
END
$script =~ s/API/$api/;

my $conf = <<'END';
apiscale_limit_log_level info;
apiscale_limit_zone zone=z:1m;
apiscale_api a {
    prefix /;
    source path;
    default 2;
    version 1 {
        deprecated 2020-01-01;
        sunset 2099-01-01;
        successor 2;
        link https://docs.test/v1;
    }
    version 2 { }
}
log_format api "$request_method $uri $status $apiscale_limit_status";

server {
    listen 127.0.0.1:PORT;
    root ROOT/html;
    location = /favicon.ico { return 204; }
}

server {
    listen 127.0.0.1:PORT1;
    access_log ROOT/logs/api.log api;
    apiscale_use_api a;

    location / {
        proxy_pass http://127.0.0.1:PORT2;
    }

    location /simple {
        apiscale_limit zone=z rate=1r/h burst=2 policy=simple;
        add_header Access-Control-Allow-Origin * always;
        proxy_pass http://127.0.0.1:PORT2;
    }

    location /custom {
        apiscale_limit zone=z rate=1r/h burst=2 policy=custom;
        add_header Access-Control-Allow-Origin * always;
        proxy_pass http://127.0.0.1:PORT2;
    }

    location /cookies {
        apiscale_limit zone=z rate=1r/h burst=2 policy=cookies;
        apiscale_limit_headers ratelimit;
        proxy_pass http://127.0.0.1:PORT2;
    }

    location /old {
        add_header Access-Control-Allow-Origin *;
        proxy_pass http://127.0.0.1:PORT2;
    }

    location /unlimited {
        add_header Access-Control-Allow-Origin *;
        proxy_pass http://127.0.0.1:PORT2;
    }

    location /closed {
        apiscale_limit zone=z rate=1r/h burst=2 policy=closed;
        proxy_pass http://127.0.0.1:PORT2;
    }
}

server {
    listen 127.0.0.1:PORT2;
    apiscale_use_api off;
    add_header X-Origin seen;

    location / { return 200 "{}"; }

    location /custom {
        if ($request_method = OPTIONS) {
            add_header Access-Control-Allow-Methods PUT;
            add_header Access-Control-Allow-Headers X-Custom;
            add_header Access-Control-Max-Age 0;
            return 204;
        }
        return 200 "{}";
    }

    location /cookies {
        add_header Access-Control-Allow-Origin http://127.0.0.1:PORT;
        add_header Access-Control-Allow-Credentials true;
        add_header Access-Control-Expose-Headers "X-Origin, *";
        add_header X-Origin seen;
        return 200 "{}";
    }
}
END

$s->start($conf);

open(my $html, '>', $s->{root} . '/html/index.html') or die $!;
print $html <<"END";
<!doctype html>
<title>apiscale</title>
<pre id="out"></pre>
<script>
$script
</script>
END
close $html;

my $dom = dump_dom("http://127.0.0.1:$page/");
my ($out) = $dom =~ m{<pre id="out">(.*?)</pre>}s;
$out //= '';
$out =~ s/&lt;/</g;
$out =~ s/&gt;/>/g;
$out =~ s/&amp;/&/g;

my %said;
my @lines = split /\n/, $out;

for (@lines) {
    my ($path, $rest) = split ' ', $_, 2;
    push @{ $said{$path} }, $rest;
}

is($lines[-1] // '', 'end', 'the script ran to its end')
    or diag substr($dom, 0, 2000), slurp("$dir/stderr");

# a response of a limit of 2, of which "left" are left
sub limited {
    my ($name, $status, $left, $more) = @_;
    my $seconds = '35[5-9]\d|3600';

    return qr/^\Q$status\E\ \|\ ratelimit:\ "$name";r=$left;t=(?:$seconds)
              \ \|\ ratelimit-policy:\ "$name";q=2;w=7200
              @{[$more ? "\\ \\|\\ retry-after:\\ (?:$seconds)" : '']}
              \ \|\ x-ratelimit-limit:\ 2
              \ \|\ x-ratelimit-remaining:\ $left
              \ \|\ x-ratelimit-reset:\ 1\d{9}
              @{[$more ? "\\ \\|\\ code\\ quota-exceeded" : '']}$/x;
}

for my $name (qw(simple custom)) {
    my ($first, $second, $third) = @{ $said{"/$name"} // [] };

    like($first, limited($name, 200, 1), "$name: 1 remains");
    like($second, limited($name, 200, 0), "$name: none remains");
    like($third, limited($name, 429, 0, 1), "$name: rejected, Retry-After");
}

like($said{'/cookies'}[0],
     qr/^200 \| ratelimit: "cookies";r=1;t=\d+ \| ratelimit-policy: "cookies";q=2;w=7200 \| x-origin: seen$/,
     'with credentials, beside what the origin server exposes');
is($said{'/v1/old'}[0],
   '200 | deprecation: @1577836800'
   . ' | link: <https://docs.test/v1>; rel="deprecation"; type="text/html",'
   . ' </v2/old>; rel="successor-version"'
   . ' | sunset: Thu, 01 Jan 2099 00:00:00 GMT', 'a deprecated version');

# these hold without the module: the browser does look at what it is told
is($said{'/unlimited'}[0], '200', 'X-Origin, which nobody exposes');
is($said{'/closed'}[0], 'TypeError', 'no origin is allowed');

my @log = split /\n/, slurp($s->{root} . '/logs/api.log');
my @custom = grep { m{ /custom } } @log;

is(join(', ', @custom),
   join(', ', map { ('OPTIONS /custom 204 -', "PUT /custom $_") }
              '200 PASSED', '200 PASSED', '429 REJECTED'),
   'preflights reached the API, and were not charged');
is($s->alerts, '', 'no alerts');

done_testing();
