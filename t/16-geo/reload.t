# Databases that are replaced while nginx runs: by the timer of each worker,
# and by a reload of the configuration.

use strict;
use warnings;

use JSON::PP;
use Test::More;
use ApiscaleLab;
use ApiscaleMmdb;

my $s = ApiscaleLab->new(workers => 2);
my $root = root();
my $file = "$root/db.mmdb";

sub db {
    my ($code, %opt) = @_;
    return mmdb({ '127.0.0.0/8' => { country => { iso_code => $code } } },
                database_type => "Type-$code", %opt);
}

sub conf {
    my ($params) = @_;
    return (http => "apiscale_geo $file $params { \$country country iso_code; }",
            config => 'location /t { return 200 "$country $pid"; }
                       location /status { apiscale_status; }
                       location /slow {
                           set $before $country;
                           add_header X-Before $before;
                           add_header X-After $country;
                           proxy_pass http://127.0.0.1:' . port(1) . ';
                       }');
}

# what each of the workers says
sub workers_say {
    my %said;
    for (1 .. 1000) {
        my ($country, $pid) = split / /, $s->get('/t')->{body};
        $said{$pid} = $country;
        last if keys %said == $s->{workers} && $_ > 20;
    }
    return join ' ', sort values %said;
}

sub wait_for_country {
    my ($code, $what) = @_;
    wait_for(sub { $s->get('/t')->{body} =~ /^\Q$code\E / }, $what) for 1 .. 4;
    wait_for(sub { workers_say() eq "$code $code" }, $what);
    pass($what);
}

sub status {
    return decode_json($s->get('/status')->{body})->{geo}[0];
}

sub lines { return scalar(() = $_[0] =~ /\Q$_[1]\E/g) }

put_file($file, db('AA'));

# the start, and a reload of the configuration

$s->start(conf(''));
is($s->get('/t')->{body} =~ s/ .*//r, 'AA', 'the first');
put_file($file, db('AB'));
is($s->get('/t')->{body} =~ s/ .*//r, 'AA',
   'without reload= a new file is not looked at');
$s->reload;
is(workers_say(), 'AB AB', 'until nginx is reloaded');

put_file($file, substr db('AC'), 0, 500);
$s->new_log;
$s->write_conf;
kill 'HUP', $s->pid;
wait_for(sub { $s->error_log =~ /\[emerg\] .*is not a valid database.* in \S+:\d+/ },
         'the refusal');
is(workers_say(), 'AB AB', 'a reload with a bad file is refused');
my $log = $s->new_log;
is(lines($log, '[emerg]'), 1, 'with a line that tells it');
like($log, qr/\[emerg\] .*"\S+db\.mmdb" is not a valid database: no metadata, it is truncated or of another format in \S+nginx\.conf:\d+/,
     'which tells the reason');
unlink $file;
kill 'HUP', $s->pid;
wait_for(sub { $s->new_log =~ /open\(\) "\S+db\.mmdb" failed \(2: No such file/ },
         'the second refusal');
is(workers_say(), 'AB AB', 'a reload without the file is refused');

# by the timer

put_file($file, db('BA'));
$s->reload(conf('reload=50ms'));
is(workers_say(), 'BA BA', 'reload=');

my $st = status();
is_deeply([@$st{qw(file type ip_version error reloads failures)}],
          [$file, 'Type-BA', 6, undef, 0, 0], 'status before');
cmp_ok($st->{nodes}, '>', 10, 'status: nodes');
is($st->{size}, -s $file, 'status: size');
cmp_ok(abs($st->{build} - time), '<', 300, 'status: build');
cmp_ok(abs($st->{loaded} - time), '<', 60, 'status: loaded');

$s->new_log;
put_file($file, db('BB'));
wait_for_country('BB', 'a new file');
$log = $s->new_log;
is(lines($log, "apiscale_geo: \"$file\" was reloaded, built at "), 2,
   'a line for each worker');
is(status()->{type}, 'Type-BB', 'status: the new one');
is(status()->{reloads}, 2, 'status: reloads of all workers');

put_file($file, db('BC', record_size => 32, ip_version => 4));
wait_for_country('BC', 'a database of another kind');
is(status()->{ip_version}, 4, 'status: the other kind');

# files that are not good: told once by each worker, with the old in use

my $bad;

sub stays {
    my ($code, $name, $reason, $change) = @_;
    $s->new_log;
    my $failures = status()->{failures};
    $change->();
    $log = '';
    wait_for(sub {
        $log .= $s->new_log;
        return lines($log, 'apiscale_geo: the database of before') >= 2;
    }, "$name: the reason");
    is(workers_say(), "$code $code", "$name: the old stays in use");
    like($log, qr/\[error\] .*apiscale_geo: the database of before stays in use: $reason/,
         "$name: the reason");
    cmp_ok(status()->{failures}, '>=', $failures + 2, "$name: counted");
    like(status()->{error}, qr/^$reason/, "$name: in the status");

    # a few more intervals
    select undef, undef, undef, 0.3;
    $log .= $s->new_log;
    is(lines($log, '[error]'), 2, "$name: one line of each worker");
}

my $invalid = qr/"\S+db\.mmdb" is not a valid database: [^,]+/;

stays('BC', 'an empty file', qr/"\S+db\.mmdb" is empty/,
      sub { put_file($file, '') });
my $failures = status()->{failures};
select undef, undef, undef, 0.3;
is(status()->{failures}, $failures, 'a bad file is read once');

stays('BC', 'half of a file', qr/$invalid/,
      sub { put_file($file, substr db('BD'), 0, 700) });
put_file($file, db('BE'));
wait_for_country('BE', 'a good one after bad ones');
is(status()->{error}, undef, 'and the error is gone');

stays('BE', 'no file', qr/open\(\) "\S+db\.mmdb" failed \(2: No such file/,
      sub { unlink $file });
put_file($file, db('BF'));
wait_for_country('BF', 'a good one after none');

# in place: what was mapped would be gone now
stays('BF', 'truncated in place', qr/$invalid/,
      sub { truncate($file, 300) or die $! });
stays('BF', 'emptied in place', qr/"\S+db\.mmdb" is empty/,
      sub { truncate($file, 0) or die $! });

{
    open(my $out, '+<', $file) or die $!;
    binmode $out;
    print $out db('BG');
    close $out;
}
wait_for_country('BG', 'written in place');

stays('BG', 'a folder', qr/"\S+db\.mmdb" is not a regular file/, sub {
    unlink $file;
    mkdir $file or die $!;
});
rmdir $file;
put_file($file, db('BH'));
wait_for_country('BH', 'and a file again');

# counters outlive a reload of the configuration

my $before = status();
$s->reload;
my $after = status();
cmp_ok($after->{$_}, '>=', $before->{$_}, "$_ outlive a reload")
    for qw(reloads failures);
is($after->{error}, undef, 'an error does not');

my $text = $s->get('/status?format=prometheus')->{body};
like($text, qr/^apiscale_geo_reloads_total\{file="\Q$file\E",result="ok"\} $after->{reloads}$/m,
     'Prometheus: reloads');
like($text, qr/^apiscale_geo_reloads_total\{file="\Q$file\E",result="failed"\} \d+$/m,
     'Prometheus: failures');
like($text, qr/^apiscale_geo_build_timestamp_seconds\{file="\Q$file\E"\} $after->{build}$/m,
     'Prometheus: the build');

# under requests: each sees one database or the other, and none waits

{
    my %seen;
    my $n = 0;
    my @code = ('CA', 'CB', 'CC', 'CD');
    my $sock = $s->connect;
    my $end = time + 20;
    my $i = 0;
    while (keys %seen < 5 && time < $end) {
        put_file($file, db($code[$i++ % 4]));
        for (1 .. 60) {
            my @r = $s->request("GET /t HTTP/1.1\r\nHost: l\r\n\r\n" x 10,
                                sock => $sock, count => 10);
            $n += @r;
            $seen{ $_->{status} == 200 ? $_->{body} =~ s/ .*//r : 'bad' }++
                for @r;
            if (@r < 10 || h($r[-1], 'Connection') eq 'close') {
                $sock = $s->connect;
            }
        }
    }
    is_deeply([sort keys %seen], ['BH', @code], "$n requests while files change")
        or diag explain \%seen;
}

# a request that is under way while the database is another one: what it has
# found is of the old one, and is not looked for in the new one

{
    my $origin = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5,
        LocalPort => port(1), ReuseAddr => 1) or die "listen: $!";

    put_file($file, mmdb({ map { my $n = $_; ("127.0.$n.0/24" =>
        { country => { iso_code => "X$n", names => { en => 'x' x 200 } } }) }
        0 .. 200 }));
    wait_for_country('X0', 'a database of many records');

    my $client = $s->connect;
    syswrite($client, "GET /slow HTTP/1.0\r\n\r\n");
    my $up = $origin->accept;
    my $in = '';
    ApiscaleLab::more($up, \$in) until $in =~ /\r\n\r\n/;

    put_file($file, db('YY'));
    wait_for_country('YY', 'a smaller one');

    syswrite($up, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    close $up;
    my $buf = '';
    my $r = ApiscaleLab::read_response($client, \$buf);
    is(h($r, 'X-Before') . ' ' . h($r, 'X-After'), 'X0 YY',
       'a request between two databases');
}

# written in place, in pieces, again and again: what is taken is whole

{
    my @db = (db('YA', record_size => 28), db('YB'));
    my %seen;
    for my $n (1 .. 60) {
        open(my $out, '>', $file) or die $!;
        binmode $out;
        my $bytes = $db[$n % 2];
        for my $piece (unpack '(a512)*', $bytes) {
            syswrite($out, $piece);
            $seen{ $s->get('/t')->{body} =~ s/ .*//r }++;
        }
        close $out;
    }
    is(join(' ', grep { !/^Y[ABY]$/ } keys %seen), '',
       'written in place under requests: no other answers');
    put_file($file, db('YC'));
    wait_for_country('YC', 'and one by rename');
}

# memory and descriptors do not grow

sub resources {
    my ($pid) = @_;
    open(my $in, '<', "/proc/$pid/maps") or return;
    my $maps = grep { /memfd:apiscale_geo/ } <$in>;
    my $fds = () = glob "/proc/$pid/fd/*";
    return ($maps, $fds);
}

for my $pid ($s->workers) {
    my ($maps, $fds) = resources($pid);
    wait_for(sub { ($maps, $fds) = resources($pid); $maps <= 1 },
             'old databases to be freed');
    is($maps, 1, 'one database is mapped');
    cmp_ok($fds, '<', 40, 'descriptors are closed');
}

# a database cannot be changed by who finds it in /proc

SKIP: {
    my ($pid) = $s->workers;
    open(my $in, '<', "/proc/$pid/maps") or skip 'no maps', 1;
    my ($line) = grep { /memfd:apiscale_geo/ } <$in>;
    like($line, qr/ r--s /, 'the mapping is read-only');
}

# a worker that is killed is started anew with the database of the start, and
# takes the file's at its timer

put_file($file, db('DA'));
wait_for_country('DA', 'before a worker is killed');
my ($victim) = $s->workers;
kill 'KILL', $victim;
wait_for(sub { my @w = $s->workers; @w == 2 && !grep { $_ == $victim } @w },
         'a new worker');
wait_for_country('DA', 'the worker started anew has it, too');

# shutting down with a timer set, and in the middle of a load

$s->reload(conf('reload=1h'));
$s->reload(conf('reload=1ms'));
put_file($file, db('EA'));
wait_for_country('EA', 'reload=1ms');
$s->reload(conf('reload=1ms')) for 1 .. 5;
is(workers_say(), 'EA EA', 'reloads of the configuration under 1ms');
$s->stop;

my @lines = split /\n/, $s->complaints('emerg|alert|crit|error');
is(join("\n", grep { !/apiscale_geo: the database of before|\[emerg\].*db\.mmdb|exited on signal 9/ } @lines),
   '', 'nothing else in the log');

done_testing();
