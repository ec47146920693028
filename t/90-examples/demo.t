# make demo: runs the lines that it prints, as they are, and looks at what
# the README says of them; then nothing must be left behind.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'the demo is not reloaded' if $ENV{TEST_NGINX_USE_HUP};

my $top = abs_path(dirname(__FILE__) . '/../..');
my $port = ($ENV{TEST_NGINX_SERVER_PORT} || 23040) + 1;

# a demo of this test's own: whatever is left in it was left by the demo
my $tmp = tempdir('apiscale-t-XXXXXX', TMPDIR => 1, CLEANUP => 1);

my ($pid, $out);

END {
    if ($pid) {
        local $?;
        kill 'TERM', $pid;
        waitpid $pid, 0;
    }
}

sub slurp {
    my ($file) = @_;
    open(my $in, '<', $file) or return '';
    local $/;
    return scalar(<$in>) // '';
}

# starts the demo, waits until it has printed what to try
sub start {
    my (%env) = @_;

    $out = "$tmp/out";
    unlink $out;
    $pid = fork // die "fork: $!";

    if ($pid == 0) {
        $SIG{INT} = $SIG{TERM} = $SIG{HUP} = 'DEFAULT';
        $ENV{PORT} = $port;
        $ENV{NGINX_BIN} = $ENV{TEST_NGINX_BINARY}
            if $ENV{TEST_NGINX_BINARY};
        $ENV{SO} = $ENV{TEST_NGINX_APISCALE_SO}
            if $ENV{TEST_NGINX_APISCALE_SO};
        $ENV{$_} = $env{$_} for keys %env;
        open(STDIN, '<', '/dev/null');
        open(STDOUT, '>', $out);
        open(STDERR, '>&', \*STDOUT);
        exec "$top/tools/demo" or die "exec: $!";
    }

    for (1 .. 300) {
        return 1 if slurp($out) =~ /Ctrl-C stops/;
        last if waitpid($pid, 1) == $pid;
        sleep 0.1;
    }

    return 0;
}

# the folder of the demo, as its nginx has it in its arguments
sub folders {
    return grep { -d } glob '/tmp/apiscale-demo.* '
                            . ($ENV{TMPDIR} ? "$ENV{TMPDIR}/apiscale-demo.*"
                                            : '');
}

# processes that have a word in their arguments
sub processes {
    my ($word) = @_;
    my @found;

    for my $file (glob '/proc/[0-9]*/cmdline') {
        my $cmdline = slurp($file);
        push @found, $file =~ s{\D}{}gr if index($cmdline, $word) >= 0;
    }

    return @found;
}

sub stop {
    my ($signal) = @_;
    my $rc;

    kill $signal, $pid;

    for (1 .. 100) {
        if (waitpid($pid, 1) == $pid) {
            $rc = $?;
            undef $pid;
            last;
        }
        sleep 0.1;
    }

    return $rc;
}

sub check_nothing_left {
    my ($name, $dir) = @_;

    ok(!-e $dir, "$name: its folder is gone");
    is_deeply([processes($dir)], [], "$name: no process is left");
    ok(!IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port"),
       "$name: nobody listens");
}

my %before = map { $_ => 1 } folders();

BAIL_OUT("the demo did not start: " . slurp($out)) if !start();

my ($dir) = grep { !$before{$_} && processes($_) } folders();

ok($dir, 'one folder of its own');

my $said = slurp($out);
my @lines = $said =~ /^    (curl .*)$/mg;

cmp_ok(scalar @lines, '>=', 6, 'it prints lines to try');
ok(!(grep { !/127\.0\.0\.1:$port\b/ } @lines), 'all on the port asked for');

sub try {
    my ($re) = @_;
    my ($line) = grep { /$re/ } @lines;

    die "no line like $re\n" if !defined $line;

    my $answer = `$line 2>/dev/null`;
    $answer =~ s/\r//g;
    return $answer;
}

SKIP: {
    skip 'no curl', 20 if system('curl --version >/dev/null 2>&1') != 0;

    my $v2 = try(qr{v2/books/1$});
    like($v2, qr{^HTTP/1.1 200 }, 'v2');
    like($v2, qr!"authors":\[\{"name":"Mary Shelley"}]!, 'v2: its own form');
    like($v2, qr{^X-RateLimit-Remaining: \d+$}m, 'v2: what is left');
    unlike($v2, qr{^Deprecation:}m, 'v2: not deprecated');

    my $v1 = try(qr{v1/books/1$});
    like($v1, qr{^HTTP/1.1 200 }, 'v1');
    like($v1, qr{"author":"Mary Shelley"}, 'v1: its own form');
    like($v1, qr{^Deprecation: \@\d+$}m, 'v1: Deprecation');
    like($v1, qr{^Sunset: \w+, \d\d \w+ \d{4} 00:00:00 GMT$}m, 'v1: Sunset');
    like($v1, qr{^Link: .*</api/v2/books/1>; rel="successor-version"}m,
         'v1: Link');

    # a refill takes 5 s; a slow machine may see one
    my @list = map { try(qr{v2/books$}) } 1 .. 8;
    is(scalar(grep { m{^HTTP/1.1 200 } } @list[0 .. 4]), 5,
       'the first five are served');
    my ($rejected) = grep { m{^HTTP/1.1 429 } } @list;
    ok($rejected, 'then 429');
    like($rejected, qr{^Retry-After: [1-5]$}m, '429: Retry-After');
    like($rejected, qr{^Content-Type: application/problem\+json$}m,
         '429: a problem');
    is(decode_json($rejected =~ s/.*?\n\n//sr)->{'violated-policies'}[0],
       'list', '429: the policy');

    like(try(qr{v3/}), qr{^HTTP/1.1 404 .*"supported":\["1","2"]}s, 'v3');
    like(try(qr{orders}), qr{^HTTP/1.1 500 .*"error":}s, 'one that fails');

    my $start = time;
    like(try(qr{reports}), qr{^HTTP/1.1 200 .*"report":"sales"}s, 'the slow');
    cmp_ok(time - $start, '>', 0.5, 'it is slow');

    my $status = decode_json(try(qr{/status$}));
    my ($api) = grep { $_->{location} eq '/api/' } @{ $status->{locations} };
    cmp_ok($api->{latency}{start}{p99}, '>', 0.5, 'status: latency');
    my ($policy) = grep { $_->{policy} eq 'list' }
                   @{ $status->{limits}[0]{policies} };
    cmp_ok($policy->{rejected}, '>=', 1, 'status: rejections');

    like(try(qr{format=prometheus}),
         qr!^apiscale_ratelimit_decisions_total\{.*result="rejected"\} [1-9]!m,
         'status for Prometheus');

    # every line works more than once
    like(`$_ 2>/dev/null`, qr{\S}, "again: $_") for @lines;
}

# a second one on the same port

{
    local $ENV{PORT} = $port;
    local $ENV{SO} = $ENV{TEST_NGINX_APISCALE_SO} || '';
    my $second = `$top/tools/demo 2>&1 </dev/null`;
    isnt($?, 0, 'port in use: it fails');
    like($second, qr/port $port is in use.* PORT=\d+ make demo/,
         'port in use: it says so');
}

is(stop('INT'), 0, 'SIGINT: exit code 0');
check_nothing_left('SIGINT', $dir);

%before = map { $_ => 1 } folders();
ok(start(), 'it starts again');
($dir) = grep { !$before{$_} && processes($_) } folders();
is(stop('TERM'), 0, 'SIGTERM: exit code 0');
check_nothing_left('SIGTERM', $dir);

for my $bad ('0', '65536', '80x', '-1', '123456') {
    local $ENV{PORT} = $bad;
    my $said = `$top/tools/demo 2>&1 </dev/null`;
    like($said, qr/is not a port/, "PORT=$bad");
}

done_testing();
