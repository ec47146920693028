# Counts over reloads, with four workers.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time);

use ApiscaleServer;
use ApiscaleStatus qw(location_of totals);

my $S = ApiscaleServer->new(workers => 4);

sub conf {
    my ($zone, @locations) = @_;

    return "apiscale_metrics_zone $zone;\nkeepalive_requests 1000000;\n"
         . "server { listen 127.0.0.1:PORT; server_name a.test;\n"
         . join('', map { "location $_ { apiscale_metrics on; "
                          . "return 200 \"ok\\n\"; }\n" } @locations)
         . "location = /status { apiscale_status; } }\n";
}

sub count {
    my ($location) = @_;

    my $l = location_of($S->status, $location) or return undef;
    is($l->{requests}{total}, $l->{latency}{start}{count},
       "$location: each with a duration");
    return $l->{requests}{total};
}

# a worker answers before it counts
sub settles_at {
    my ($n, $location, $what) = @_;

    my $end = time + 10;
    my $l;
    do {
        $l = location_of($S->status, $location);
    } until (($l && $l->{requests}{total} == $n) || time > $end);
    is($l && $l->{requests}{total}, $n, $what);
}

sub requests {
    my ($n, $path) = @_;
    $S->get($path) for 1 .. $n;
}

# --- locations come and go

$S->start(conf('zone=a:1m', '/a', '/b', '= /c'));
requests(20, '/a');
requests(7, '/b');
requests(5, '/c');
settles_at(20, '/a', 'counted: /a');
settles_at(7, '/b', 'counted: /b');
settles_at(5, '= /c', 'counted: = /c');
my $start = $S->status->{start};

$S->reload(conf('zone=a:1m', '/new', '= /c', '/a'));
is(count('/a'), 20, 'kept when others come before it');
is(count('= /c'), 5, 'kept when one before it went');
is(count('/new'), 0, 'a new one begins with nothing');
is(count('/b'), undef, 'one that went is not shown');
is($S->status->{start}, $start, 'a reload is not a start');

requests(3, '/a');
settles_at(23, '/a', 'counts on');

$S->reload(conf('zone=a:1m', '/b', '/a'));
is(count('/b'), 7, 'one that came back has its counts');
is(count('/a'), 23, 'kept over two reloads');

# --- the zone's size, the number of workers

$S->reload(conf('zone=a:3m', '/a', '/b'));
is(count('/a'), 23, 'kept in a larger zone');
is(count('/b'), 7, 'kept in a larger zone');

$S->reload(conf('zone=a:300k', '/b', '/a'));
is(count('/a'), 23, 'kept in a smaller zone');
is(count('/b'), 7, 'kept in a smaller zone');

# less than a slab for each worker and series
$S->reload(conf('zone=a:64k', '/a', '/b'));
is(count('/a'), 23, 'kept in a zone with fewer slabs');
is(count('/b'), 7, 'kept in a zone with fewer slabs');

requests(10, '/a');
settles_at(33, '/a', 'counts on in a smaller zone');

$S->{workers} = 7;
$S->reload(conf('zone=a:64k', '/b', '/a'));
is(count('/a'), 33, 'kept with more workers');
requests(30, '/a');
settles_at(63, '/a', 'counts with more workers than slabs');

$S->{workers} = 2;
$S->reload(conf('zone=a:1m', '/b', '/a', '/c', '/d'));
is(count('/a'), 63, 'kept with fewer workers and slabs');
unlike($S->log, qr/metrics zone/, 'nothing had to be dropped');

$S->{workers} = 1;
$S->reload(conf('zone=a:32k', '/a', '/b'));
is(count('/a'), 63, 'kept: the one that has a place');
is(location_of($S->status, '/b'), undef, 'no place for the second');
is_deeply([$S->log =~ /\[warn\] .*?: (metrics zone .*)/g],
          ['metrics zone "a": 1 of 2 series have no place and are counted as '
           . '"other", counts of 2 series were dropped'],
          'one line in the log for what cannot be kept');
is($S->alerts, '', 'nothing bad in the log');
$S->stop;

# --- a failed reload, after the zone was made

$S->start(conf('zone=f:1m', '/a'));
requests(4, '/a');
settles_at(4, '/a', 'before a failed reload');
my ($master, @old) = ($S->{pid}, $S->children);
$S->write_conf(conf('zone=f:1m', '/x', '/y')
               . 'server { listen 192.0.2.1:1; }');
kill 'HUP', $master;
$S->wait_for(sub { $S->log =~ /bind\(\) to 192.0.2.1:1 failed/ },
             'failed reload');
requests(2, '/a');
settles_at(6, '/a', 'after a failed reload');
is_deeply([$S->children], \@old, 'the workers go on');
$S->reload(conf('zone=f:1m', '/x', '/a'));
is(count('/a'), 6, 'and a good one keeps the counts');
is(count('/x'), 0, 'of all');
$S->stop;

# --- slots of series that went are used again; who still has one may not
#     count for the new owner

my $Listen;
socket_origin();

sub slow {
    my ($zone, @locations) = @_;

    return "apiscale_metrics_zone $zone;\n"
         . "server { listen 127.0.0.1:PORT; server_name a.test;\n"
         . join('', map { "location $_ { apiscale_metrics on; "
                          . "proxy_pass http://127.0.0.1:PORT4; }\n" }
                    @locations)
         . "location = /status { apiscale_status; } }\n";
}

# an origin that answers when it is told to
sub socket_origin {
    $Listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 10,
                                    LocalPort => $S->port + 4,
                                    ReuseAddr => 1) or die $!;
}

sub accept_one {
    my $c = $Listen->accept;
    local $/ = "\r\n\r\n";
    <$c>;
    return $c;
}

sub answer {
    my ($c) = @_;
    print $c "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    close $c;
}

sub begin {
    my ($path) = @_;
    my $s = $S->connect;
    print $s "GET $path HTTP/1.0\r\n\r\n";
    return $s;
}

sub finish {
    my ($s) = @_;
    local $/;
    my $res = <$s>;
    like($res, qr/200 OK/, 'the old worker answers');
}

$S->start(slow('zone=s:1m', '/a'));
my $client = begin('/a');
my $asked = accept_one();
$S->reload(slow('zone=s:1m', '/b', '/a'), keep => 1);
is(location_of($S->status, '/a')->{requests}{total}, 0, 'not over yet');
answer($asked);
finish($client);
settles_at(1, '/a', 'a request of an old worker counts in the new one');
$S->stop;

$S->start(slow('zone=s:32k', '/a'));
$client = begin('/a');
$asked = accept_one();

$S->reload(slow('zone=s:32k', '/b'), keep => 1);
is(location_of($S->status, '/b'), undef,
   'the running configuration keeps its places until the next reload');
$S->reload(slow('zone=s:32k', '/c'), keep => 1);
is(location_of($S->status, '/c')->{requests}{total}, 0,
   'a place is used again by the second');
answer($asked);
finish($client);
settles_at(1, 'other', 'a request whose place has a new owner is "other"');
is(location_of($S->status, '/c')->{requests}{total}, 0,
   'and does not count for the new owner');
is($S->alerts, '', 'nothing bad in the log');
$S->stop;

# --- a worker that is killed takes nothing along

$S->{workers} = 2;
$S->start(conf('zone=k:1m', '/a'));
requests(50, '/a');
settles_at(50, '/a', 'before a kill');
my %were = map { $_ => 1 } $S->children;
kill 'KILL', keys %were;
$S->wait_for(sub {
    my @now = $S->children;
    @now == 2 && !grep { $were{$_} } @now
}, 'new workers');
requests(5, '/a');
settles_at(55, '/a', 'after a kill');
$S->stop;

# --- workers that share a slab, each as fast as it can be

$S->{workers} = 4;
$S->start(conf('zone=p:32k', '/a'));

use constant { CLIENTS => 4, BATCHES => 400, BATCH => 100 };

my @pids = map {
    my $pid = fork // die $!;
    if ($pid == 0) {
        my $s = $S->connect;
        my $batch = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n" x BATCH;
        for (1 .. BATCHES) {
            print $s $batch;
            for (1 .. BATCH) {
                until ((readline($s) // POSIX::_exit(1)) eq "ok\n") { }
            }
        }
        POSIX::_exit(0);
    }
    $pid;
} 1 .. CLIENTS;

for (@pids) {
    waitpid $_, 0;
    is($?, 0, 'a client got all its answers');
}
settles_at(CLIENTS * BATCHES * BATCH, '/a', 'no count of a shared slab lost');
my $w = location_of($S->status, '/a');
is($w->{latency}{start}{count}, CLIENTS * BATCHES * BATCH, 'nor a duration');
is($w->{bytes}{received}, CLIENTS * BATCHES * BATCH
                          * length("GET /a HTTP/1.1\r\nHost: a\r\n\r\n"),
   'nor bytes');
$S->stop;

# --- under load: exact after all, monotonic meanwhile

$S->start(conf('zone=l:1m', '/a', '/b'));

my @clients;
for my $path ('/a', '/a', '/b') {
    pipe(my $in, my $out) or die $!;
    my $pid = fork // die $!;
    if ($pid == 0) {
        my ($n, $stop) = (0, 0);
        local $SIG{USR1} = sub { $stop = 1 };
        while (!$stop) {
            my ($status) = $S->get($path);
            $n++ if ($status // 0) == 200;
        }
        print $out "$path $n\n";
        close $out;
        POSIX::_exit(0);
    }
    close $out;
    push @clients, [$pid, $in];
}

my ($last, $steps) = (0, 0);
for my $i (1 .. 12) {
    my @l = $i % 2 ? ("/x$i", '/b', '/a') : ('/a', "/y$i", '/b');
    $S->reload(conf('zone=l:1m', @l));
    for (1 .. 5) {
        my $t = totals($S->status);
        my $now = $t->{'/a'} + $t->{'/b'};
        $steps++ if $now < $last;
        $last = $now;
    }
}
is($steps, 0, 'no count ever fell');

my %n;
for my $c (@clients) {
    kill 'USR1', $c->[0];
    my ($path, $n) = split ' ', readline $c->[1];
    $n{$path} += $n;
    waitpid $c->[0], 0;
}
cmp_ok($n{'/a'}, '>', 100, "there was a load: $n{'/a'} requests");
settles_at($n{$_}, $_, "$_: exact after 12 reloads under load")
    for '/a', '/b';
is($S->alerts, '', 'nothing bad in the log');
$S->stop;

done_testing();
