# What a rejection leaves in the logs, dry runs, statuses, and connections
# that outlive a rejection.

use strict;
use warnings;

use Test::More;
use ApiscaleLab;

my $root = root();

my $s = ApiscaleLab->new(
    http => <<"END",
    log_format v '\$uri|\$status|\$apiscale_limit_status|\$apiscale_limit_policy|'
                 '\$apiscale_limit_limit|\$apiscale_limit_remaining|'
                 '\$apiscale_limit_reset|\$apiscale_limit_retry_after';
    access_log $root/logs/v.log v;
    apiscale_limit_zone zone=z:1m;
    apiscale_limit_zone zone=other:1m;
END
    config => join("\n", (map { <<"END" } qw(info notice warn error)), <<"END"));
        location /level/$_ {
            apiscale_limit_log_level $_;
            apiscale_limit zone=z rate=1r/h policy=level_$_;
            empty_gif;
        }
END
        location /default { apiscale_limit zone=z rate=1r/h policy=default; empty_gif; }
        location /key {
            apiscale_limit zone=z key=\$http_x_secret rate=1r/h policy=key;
            empty_gif;
        }
        location /many {
            apiscale_limit_log_level warn;
            apiscale_limit zone=z rate=1r/h policy=m1;
            apiscale_limit zone=other rate=1r/h policy=m2;
            apiscale_limit zone=z rate=1r/h policy=m3 dry_run;
            empty_gif;
        }
        location /bypass { apiscale_limit zone=z key=\$arg_k rate=1r/h policy=b; empty_gif; }
        location /none { empty_gif; }
        location /dry {
            apiscale_limit_log_level warn;
            apiscale_limit zone=z rate=1r/h burst=2 policy=dry dry_run;
            empty_gif;
        }
        location /mixed {
            apiscale_limit_log_level warn;
            apiscale_limit zone=z rate=1r/h burst=1 policy=mixdry dry_run;
            apiscale_limit zone=z rate=1r/h burst=3 policy=mixed;
            empty_gif;
        }
        location /global {
            apiscale_limit_dry_run on;
            apiscale_limit_log_level warn;
            apiscale_limit zone=z rate=1r/h policy=global;
            empty_gif;
            location /global/off { apiscale_limit_dry_run off; empty_gif; }
        }
        location /status503 {
            apiscale_limit_status 503;
            apiscale_limit zone=z rate=1r/h policy=s503;
            empty_gif;
        }
        location /status444 {
            apiscale_limit_status 444;
            apiscale_limit zone=z rate=1r/h policy=s444;
            empty_gif;
        }
        location /status {
            apiscale_limit_headers off;
            apiscale_limit zone=z rate=1r/h policy=status cost=2;
            empty_gif;
        }
        location /ka { apiscale_limit zone=z rate=1r/h policy=ka cost=2; empty_gif; }
        location /ok { empty_gif; }
        location /body {
            apiscale_limit zone=z rate=1r/h policy=body cost=2;
            proxy_pass http://127.0.0.1:1;
        }
        location /reset {
            apiscale_limit zone=z rate=1r/h burst=2 policy=reset;
            proxy_pass http://127.0.0.1:@{[port(1)]};
        }
END

$s->start;

sub log_of {
    my (@uris) = @_;
    my @r = map { $s->get($_) } @uris;
    return ($s->new_log, @r);
}

# the lines of "uri" in the access log, when there are so many: a line is
# written after the response was sent
sub access {
    my ($uri, $n) = @_;
    my @lines;
    wait_for(sub {
        @lines = grep { /^\Q$uri\E\|/ } split /\n/, $s->slurp('logs/v.log');
        return @lines >= $n;
    }, 'the access log');
    is(scalar @lines, $n, "$uri: $n lines in the access log");
    return map { [split /\|/, $_, -1] } @lines;
}

$s->new_log;

# levels: one line a rejection, none otherwise

for my $level (qw(info notice warn error)) {
    my ($log) = log_of("/level/$level");
    unlike($log, qr/limiting/, "$level: nothing of a request that passes");

    ($log) = log_of("/level/$level", "/level/$level");
    my @lines = grep { /limiting requests/ } split /\n/, $log;
    is(scalar @lines, 2, "$level: a line for each rejection");
    like($lines[0],
         qr/\[$level\] .*limiting requests by policy "level_$level" of zone "z", client: 127\.0\.0\.1, server: localhost, request: "GET \/level\/$level HTTP\/1\.1"/,
         "$level: its level, policy, zone and nginx's own context");
}

my ($log) = log_of('/default', '/default');
like($log, qr/\[error\] .*limiting requests by policy "default"/,
     'the default level is that of limit_req');

# one line also when several policies reject

($log) = log_of('/many', '/many');
is(scalar(() = $log =~ /limiting/g), 1, 'several policies: one line');
unlike($log, qr/dry run/, 'a rejection is no dry run');

# never the key

my $secret = 'sk_live_0123456789';
my @r = map { $s->get('/key', 'X-Secret' => $secret) } 1 .. 3;
is($r[2]{status}, 429, 'limited by a secret key');
unlike($s->error_log, qr/\Q$secret\E/, 'no key in the error log');
unlike($r[2]{head} . $r[2]{body}, qr/\Q$secret\E/, 'nor in the response');

# statuses and variables

$s->new_log;
$s->get($_) for '/none', '/bypass', '/bypass?k=1', '/bypass?k=1';
my @a = (access('/none', 1), access('/bypass', 3));
$s->new_log;
my $now = time;

is_deeply([@{$a[0]}[1 .. 7]], [200, ('-') x 6], 'no limit: no variables');
is_deeply([@{$a[1]}[1 .. 7]], [200, 'BYPASSED', ('-') x 5], 'BYPASSED');
is_deeply([@{$a[2]}[1 .. 5, 7]], [200, 'PASSED', 'b', 1, 0, '-'], 'PASSED');
is_deeply([@{$a[3]}[1 .. 5]], [429, 'REJECTED', 'b', 1, 0], 'REJECTED');
cmp_ok(abs($a[2][6] - $now - 3600), '<', 30, 'reset is a time');
is($a[3][6], $a[2][6], 'which a rejection does not move');
like($a[3][7], qr/^3[56]\d\d$/, 'retry_after');

# dry runs

($log, @r) = log_of('/dry', '/dry');
unlike($log, qr/limiting/, 'dry run: nothing of what would pass');
($log, @r) = log_of('/dry');
is($r[0]{status}, 200, 'dry run: passes');
like($log, qr/\[warn\] .*limiting requests, dry run, by policy "dry" of zone "z"/,
     'dry run: logged');
ok(!defined h($r[0], $_), "dry run: no $_")
    for qw(X-RateLimit-Limit RateLimit RateLimit-Policy Retry-After);
@a = access('/dry', 3);
is_deeply([map { $_->[2] } @a], [qw(PASSED PASSED REJECTED_DRY_RUN)],
          'dry run: statuses');
is_deeply([@{$a[2]}[3 .. 7]], [('-') x 5], 'dry run: no other variable');

($log, @r) = log_of(('/mixed') x 4);
is_deeply([map { $_->{status} } @r], [200, 200, 200, 429],
          'a dry run beside a limit: only the limit rejects');
@a = access('/mixed', 4);
is_deeply([map { $_->[2] } @a],
          [qw(PASSED REJECTED_DRY_RUN REJECTED_DRY_RUN REJECTED)],
          'a dry run beside a limit: statuses');
is_deeply([map { $_->[3] } @a], [('mixed') x 4],
          'a dry run beside a limit: the limit is shown');
is(scalar(() = $log =~ /limiting requests, dry run, by policy "mixdry"/g), 2,
   'a dry run beside a limit: its lines');
is(scalar(() = $log =~ /limiting requests by policy "mixed"/g), 1,
   'a dry run beside a limit: and that of the limit');

($log, @r) = log_of(('/global') x 3);
is_deeply([map { $_->{status} } @r], [200, 200, 200],
          'apiscale_limit_dry_run on: nothing is rejected');
is(scalar(() = $log =~ /dry run/g), 2, 'apiscale_limit_dry_run on: logged');
($log, @r) = log_of('/global/off');
is($r[0]{status}, 429, 'apiscale_limit_dry_run off: the same bucket rejects');

# other statuses

@r = map { $s->get('/status503') } 1 .. 2;
is($r[1]{status}, 503, 'apiscale_limit_status 503');
like($r[1]{body}, qr/"status":503/, 'apiscale_limit_status 503: the body');
like($r[1]{head}, qr/^Retry-After: 3[56]\d\d\r?$/m,
     'apiscale_limit_status 503: Retry-After');

is($s->get('/status444')->{status}, 200, 'apiscale_limit_status 444: passes');
my $sock = $s->connect;
ok(!$s->get('/status444', { sock => $sock }),
   'apiscale_limit_status 444: closes the connection');

# each status that there may be is answered as nginx answers it: some close
# the connection, some are its own names for 400

my $conf = $s->{config};
for my $status (400 .. 599) {
    $conf .= "location =/status/$status { apiscale_limit_status $status; "
             . "apiscale_limit_log_level info; "
             . "apiscale_limit zone=z rate=1r/h policy=status cost=2; "
             . "empty_gif; }\n";
}
$s->reload(config => $conf);

for my $status (400 .. 599) {
    my $r = $s->get("/status/$status");
    my $expect = $status == 408 || $status == 444 || $status == 499 ? 0
               : $status >= 494 && $status <= 497 ? 400 : $status;
    is($r ? $r->{status} : 0, $expect, "apiscale_limit_status $status");
    next if !$r || $r->{body} !~ /^\{/;
    like($r->{body}, qr/"status":$status,/,
         "apiscale_limit_status $status: the body says so");
}

# the connection stays

$sock = $s->connect;
@r = map { $s->get($_, Connection => 'keep-alive', { sock => $sock }) }
         '/ka', '/ok', '/ka', '/ok';
is_deeply([map { $_->{status} } @r], [429, 200, 429, 200],
          'keepalive after a rejection');

@r = $s->request(join('', map { "GET $_ HTTP/1.1\r\nHost: l\r\n\r\n" }
                          qw(/ka /ok /ka /ka /ok)), count => 5);
is_deeply([map { $_->{status} } @r], [429, 200, 429, 429, 200],
          'pipelined requests');

$sock = $s->connect;
my $body = 'x' x 300_000;
@r = $s->request("POST /body HTTP/1.1\r\nHost: l\r\nContent-Length: "
                 . length($body) . "\r\n\r\n${body}GET /ok HTTP/1.1\r\n"
                 . "Host: l\r\n\r\n", sock => $sock, count => 2);
is_deeply([map { $_->{status} } @r], [429, 200],
          'the body of what was rejected is skipped');

@r = $s->request("POST /body HTTP/1.1\r\nHost: l\r\n"
                 . "Transfer-Encoding: chunked\r\n\r\n"
                 . "5\r\nhello\r\n0\r\n\r\nGET /ok HTTP/1.1\r\n"
                 . "Host: l\r\n\r\n", count => 2);
is_deeply([map { $_->{status} } @r], [429, 200], 'a chunked body, too');

# no "100 Continue" for a body that nobody wants

@r = $s->request("POST /body HTTP/1.1\r\nHost: l\r\nContent-Length: 5\r\n"
                 . "Expect: 100-continue\r\n\r\n");
is($r[0]{status}, 429, 'Expect: 100-continue is answered by the rejection');

# an origin that takes its time does not move the time of the reset

my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                   LocalPort => port(1), Listen => 5,
                                   ReuseAddr => 1) or die "listen: $!";
my $client = $s->connect;
my $before = Time::HiRes::time();
syswrite($client, "GET /reset HTTP/1.0\r\n\r\n");
my $origin = $listen->accept;
my $after = Time::HiRes::time();
my $in = '';
ApiscaleLab::more($origin, \$in) until $in =~ /\r\n\r\n/;
Time::HiRes::sleep(2.1);
syswrite($origin, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
close $origin;
$in = '';
my $r = ApiscaleLab::read_response($client, \$in);
my $reset = h($r, 'X-RateLimit-Reset');

# charged between "before" and "after"; both roundings are up
cmp_ok($reset, '>=', POSIX::ceil($before + 3600), 'a slow origin: not early');
cmp_ok($reset, '<=', POSIX::ceil($after + 3600), 'a slow origin: not late');
is((access('/reset', 1))[0][6], $reset,
   'the log tells the time that the header told');

$s->stop;

is($s->complaints('emerg|alert|crit'), '', 'no alert');
is(join("\n", grep { !/limiting requests/ }
              split /\n/, $s->complaints('error')), '', 'no other error');

done_testing();
