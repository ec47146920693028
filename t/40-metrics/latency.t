# What a duration is, and which requests have one.  The origin waits for
# known times; those that the client measures are an upper bound, however
# busy the machine is.

use strict;
use warnings;

use Test::More;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Time::HiRes qw(time);

use ApiscaleServer;
use ApiscaleStatus qw(location_of promtool);

use constant ERROR => 1 / 128;      # of a bucket's middle

my $S = ApiscaleServer->new;

# --- an origin: /MILLISECONDS/KIND

my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50,
                                   LocalPort => $S->port + 1,
                                   ReuseAddr => 1) or die $!;
my $origin = fork // die $!;
if ($origin == 0) {
    $SIG{CHLD} = 'IGNORE';
    while (my $c = $listen->accept) {
        next if fork;
        local $/ = "\r\n\r\n";
        my ($ms, $kind) = (<$c> // '') =~ m{^\S+ /(\d+)/(\w*)}
            or POSIX::_exit(0);
        IO::Select->new($c)->can_read($ms / 1000);  # or nginx leaves
        if ($kind eq 'upgrade') {
            print $c "HTTP/1.1 101 Switching Protocols\r\n"
                     . "Upgrade: x\r\nConnection: upgrade\r\n\r\nhello";
        } elsif ($kind eq 'events') {
            print $c "HTTP/1.0 200 OK\r\n"
                     . "Content-Type: text/event-stream\r\n\r\ndata: 1\n\n";
            $c->flush;
            <$c>;
        } elsif ($kind eq 'broken') {
            print $c "HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\nhello";
        } elsif ($kind eq 'parts') {
            print $c "HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nhello";
            $c->flush;
            select undef, undef, undef, $ms / 1000;
            print $c "world";
        } else {
            print $c "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
        }
        close $c;
        POSIX::_exit(0);
    }
    POSIX::_exit(0);
}
close $listen;

END {
    my $rc = $?;
    if ($origin) {
        kill 'KILL', $origin;
        waitpid $origin, 0;
    }
    $? = $rc;
}

$S->start(<<'END');
apiscale_metrics_zone zone=m:4m;
log_format d "$request_uri $apiscale_duration";
upstream origin { server 127.0.0.1:PORT1; }
server {
    listen 127.0.0.1:PORT;
    listen 127.0.0.1:PORT2 http2;
    server_name a.test;
    apiscale_metrics on;
    access_log ROOT/logs/d.log d;
    root ROOT/html;
    lingering_timeout 5s;
    lingering_time 10s;
    send_timeout 10s;

    location /known/ { proxy_pass http://origin/; }
    location /parts/ { proxy_pass http://origin/; proxy_buffering off; }
    location /lost/ { proxy_pass http://origin/; }
    location /broken/ { proxy_pass http://origin/; }
    location /upgrade/ { proxy_pass http://origin/; proxy_http_version 1.1;
                         proxy_set_header Upgrade $http_upgrade;
                         proxy_set_header Connection upgrade; }
    location /events/ { proxy_pass http://origin/; proxy_buffering off; }
    location /lingering { return 200 "ok\n"; }
    location /idle { return 200 "ok\n"; }
    location /idle/bytes { return 200 "0123456789"; }
    location /closed { return 444; }
    location /large { sendfile on; }
    location /ssi { ssi on; default_type text/html; }
    location /part/ { proxy_pass http://origin/; }
    location /h2 { return 200 "ok\n"; }
    location /h2/204 { return 204; }
    location /cond { }
    location = /status { apiscale_metrics off; apiscale_status; }
}
END

sub series {
    my ($location) = @_;
    return location_of($S->status, $location);
}

sub wait_for_count {
    my ($location, $member, $n) = @_;

    my $l;
    $S->wait_for(sub {
        $l = series($location);
        $l->{requests}{$member} >= $n;
    }, "$n $member of $location");

    return $l;
}

# nearest rank
sub quantile {
    my ($q, @sorted) = @_;
    return $sorted[POSIX::ceil($q * @sorted - 1e-9) - 1];
}

sub between {
    my ($got, $low, $high, $what) = @_;
    ok($got >= $low && $got <= $high, "$what: $low <= $got <= $high");
}

# --- bytes

my $sock = $S->connect;
my $sent = "GET /idle/bytes HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
           . "X: " . 'x' x 300 . "\r\n\r\n";
print $sock $sent;
my $got = do { local $/; <$sock> };
my $bytes = wait_for_count('/idle/bytes', 'total', 1)->{bytes};
is($bytes->{received}, length $sent, 'bytes received');
is($bytes->{sent}, length $got, 'bytes sent, with the header');

# --- quantiles against known delays

my (@delays, @times);

for my $ms ((5) x 60, (20) x 30, (60) x 9, 120) {
    my $begun = time;
    my $status = ($S->get("/known/$ms/"))[0];
    push @times, time - $begun;
    push @delays, $ms / 1000;
    $status == 200 or fail("status $status");
}

@times = sort { $a <=> $b } @times;

my $l = wait_for_count('/known/', 'total', 100);
my $w = $l->{latency}{start};
is($w->{count}, 100, 'each request has a duration');
is($l->{requests}{'2xx'}, 100, 'and a class');

for my $p (50, 95, 99) {
    between($w->{"p$p"}, quantile($p / 100, @delays) * (1 - ERROR),
            quantile($p / 100, @times) * (1 + ERROR), "p$p");
}

my ($sum, $most) = (0, 0);
$sum += $_ for @delays;
$most += $_ for @times;
between($w->{max}, 0.12, $times[-1], 'max');
between($w->{mean}, $sum / 100, $most / 100, 'mean');

my $text = $S->get('/status?format=prometheus');
is(promtool($text), '', 'promtool');

my $h = 'apiscale_http_request_duration_seconds';
my $known = '\{server="a.test",location="/known/"';
my %le = $text =~ /^${h}_bucket$known,le="([^"]+)"\} (\d+)$/mg;
is_deeply([sort { $a <=> $b } grep { $_ ne '+Inf' } keys %le],
          [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
           5, 10], 'bounds');
for my $le (grep { $_ ne '+Inf' } sort keys %le) {
    between($le{$le}, scalar(grep { $_ <= $le } @times),
            scalar(grep { $_ <= $le } @delays), "le=$le");
}
is($le{'+Inf'}, 100, 'le=+Inf');
my ($n) = $text =~ /^${h}_count$known\} (\d+)$/m;
is($n, 100, '_count');
($n) = $text =~ /^${h}_sum$known\} (\S+)$/m;
between($n, $sum, $most, '_sum');
for my $q (0.5, 0.95, 0.99) {
    ($n) = $text =~ /^apiscale_http_request_duration_quantile_seconds$known
                     ,q="$q",window="start"\}\ (\S+)$/mx;
    is($n, $w->{'p' . $q * 100}, "gauge of q=$q");
}

# --- the variable, in the access log

open(my $in, '<', "$S->{root}/logs/d.log") or die $!;
my @logged = sort { $a <=> $b } map { m{^\S+ (\d+\.\d{6})$} ? $1 : () }
             grep { /known/ } <$in>;
is(@logged, 100, 'a line for each');
is($logged[-1], sprintf('%.6f', $w->{max}),
   'the log shows what is recorded, to the microsecond');

# --- to the last byte, not to the first

$S->get('/parts/60/parts');
$w = wait_for_count('/parts/', 'total', 1)->{latency}{start};
cmp_ok($w->{max}, '>=', 0.12, 'a response in two parts');

# --- lost connections and broken responses

my $s = $S->connect;
print $s "GET /lost/60000/ HTTP/1.0\r\n\r\n";
close $s;
$l = wait_for_count('/lost/', 'aborted', 1);
is($l->{requests}{'4xx'}, 1, 'a client that left: 499');
is($l->{latency}{start}{count}, 0, 'has no duration');

$S->get('/broken/1/broken');
$l = wait_for_count('/broken/', 'aborted', 1);
is($l->{requests}{'2xx'}, 1, 'a broken response has its class');
is($l->{latency}{start}{count}, 0, 'and no duration');

$S->get('/closed');
$l = wait_for_count('/closed', 'total', 1);
is($l->{requests}{'4xx'}, 1, 'status 444');
is($l->{requests}{aborted}, 0, 'was not aborted');
is($l->{latency}{start}{count}, 0, 'and has no duration');

# --- connections that are long on purpose

$S->get('/upgrade/1/upgrade', 'Upgrade: x');
$l = wait_for_count('/upgrade/', 'total', 1);
is($l->{requests}{'1xx'}, 1, 'status 101');
is($l->{requests}{aborted}, 0, 'was not aborted');
is($l->{latency}{start}{count}, 0, 'and has no duration');

$s = $S->connect;
print $s "GET /events/1/events HTTP/1.0\r\n\r\n";
until (($_ = <$s>) =~ /^data/) { }
close $s;
$l = wait_for_count('/events/', 'total', 1);
is($l->{requests}{'2xx'}, 1, 'an event stream');
is($l->{requests}{aborted}, 0, 'was not aborted');
is($l->{latency}{start}{count}, 0, 'and has no duration');

# --- times of a connection that are not the response's

$s = $S->connect;
print $s "POST /lingering HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
until (($_ = <$s>) eq "ok\n") { }
select undef, undef, undef, 0.4;
my $begun = series('/lingering')->{requests}{total};
close $s;
$w = wait_for_count('/lingering', 'total', 1)->{latency}{start};
is($begun, 0, 'nginx waits for the rest of the body');
cmp_ok($w->{max}, '<', 0.3, 'lingering is not counted');

$s = $S->connect;
for (1 .. 2) {
    print $s "GET /idle HTTP/1.1\r\nHost: a\r\n\r\n";
    until (($_ = <$s>) eq "ok\n") { }
    select undef, undef, undef, 0.4;
}
$w = wait_for_count('/idle', 'total', 2)->{latency}{start};
cmp_ok($w->{max}, '<', 0.3, 'an idle connection is not counted');

# --- a client that reads slowly

open(my $file, '>', "$S->{root}/html/large") or die $!;
print $file 'x' x 16_000_000;
close $file;

socket(my $raw, Socket::PF_INET(), Socket::SOCK_STREAM(), 0) or die $!;
setsockopt($raw, SOL_SOCKET, SO_RCVBUF, 4096) or die $!;
connect($raw, Socket::pack_sockaddr_in($S->port,
                                       Socket::inet_aton('127.0.0.1')))
    or die $!;
syswrite $raw, "GET /large HTTP/1.0\r\n\r\n";
select undef, undef, undef, 0.3;
my $read = 0;
while (sysread $raw, my $buf, 1_000_000) {
    $read += length $buf;
}
close $raw;
cmp_ok($read, '>', 16_000_000, 'read all');
$l = wait_for_count('/large', 'total', 1);
cmp_ok($l->{latency}{start}{max}, '>=', 0.25, 'the last byte counts');

socket($raw, Socket::PF_INET(), Socket::SOCK_STREAM(), 0) or die $!;
connect($raw, Socket::pack_sockaddr_in($S->port,
                                       Socket::inet_aton('127.0.0.1')))
    or die $!;
syswrite $raw, "GET /large HTTP/1.0\r\n\r\n";
sysread $raw, my $buf, 100;
setsockopt($raw, SOL_SOCKET, Socket::SO_LINGER(), pack('ii', 1, 0));
close $raw;
$l = wait_for_count('/large', 'aborted', 1);
is($l->{latency}{start}{count}, 1, 'a download that was given up');

# --- subrequests within the response

open($file, '>', "$S->{root}/html/ssi") or die $!;
print $file '<!--#include virtual="/part/150/" -->end';
close $file;
$begun = time;
like($S->get('/ssi'), qr{ok\n.*end}s, 'a page with an include');
my $took = time - $begun;
$w = wait_for_count('/ssi', 'total', 1)->{latency}{start};
is($w->{count}, 1, 'has one duration');
between($w->{max}, 0.15, $took, 'with the include');
is(series('/part/')->{requests}{total}, 0, 'which is not measured itself');

# --- without a body

open($file, '>', "$S->{root}/html/cond") or die $!;
close $file;
is(($S->get('/cond', 'If-Modified-Since: '
            . POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT',
                              gmtime((stat "$S->{root}/html/cond")[9]))))[0],
   304, 'not modified');
$l = wait_for_count('/cond', 'total', 1);
is($l->{latency}{start}{count}, 1, 'a 304 has a duration');

# --- HTTP/2

my $port2 = $S->port + 2;
for my $arg ('-I http://127.0.0.1:PORT/h2', 'http://127.0.0.1:PORT/h2',
             'http://127.0.0.1:PORT/h2/204')
{
    (my $a = $arg) =~ s/PORT/$port2/;
    my $code = `curl -s -o /dev/null --max-time 10 --http2-prior-knowledge -w '%{http_version} %{http_code}' $a`;
    like($code, qr/^2 20[04]$/, "HTTP/2: $arg");
}
$l = wait_for_count('/h2', 'total', 2);
is($l->{latency}{start}{count}, 2, 'HEAD and GET have durations');
$l = wait_for_count('/h2/204', 'total', 1);
is($l->{latency}{start}{count}, 1, '204 has');

(my $alerts = $S->alerts)
    =~ s/.*(?:upstream prematurely closed|reset by peer).*\n//g;
is($alerts, '', 'nothing bad in the log');
$S->stop;

done_testing();
