# The file changes while nginx runs: found by a timer, or with a reload.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);
use ApiscaleLab;

my $s = ApiscaleLab->new(workers => 2);
my $file = root() . '/c.json';

my $config = <<'END';
    location /say { return 200 "$apiscale_consumer/$apiscale_plan"; }
    location /r { apiscale_consumer required; empty_gif; }
    location = /status { apiscale_status; }
END

sub http { "apiscale_consumers zone=" . ($_[1] // 'c:1m')
           . " file=@{[$_[2] // $file]} reload=$_[0];\n" }

sub consumers {
    my (%plan) = @_;

    return JSON::PP->new->canonical->encode({ consumers => [ map {
        { id => $_, plan => $plan{$_}, keys => ['sha256:' . sha256_hex($_)] }
    } sort keys %plan ] });
}

# as most programs replace a file
sub replace {
    my ($text) = @_;
    $s->file('c.json.new', $text);
    rename "$file.new", $file or die $!;
}

sub say_ { $s->get('/say', 'X-API-Key' => $_[0])->{body} }
sub status { decode_json($s->get('/status')->{body})->{consumers} }

sub becomes {
    my ($key, $want, $name) = @_;
    my $got = eval { wait_for(sub { say_($key) eq $want }, $name); 1 };
    ok($got, $name) or diag say_($key);
}

sub count_log {
    my ($re) = @_;
    my $n = () = $s->error_log =~ /$re/g;
    return $n;
}


# --- by the timer

$s->file('c.json', consumers(a => 'one'));
$s->start(http => http('50ms'), config => $config);

is(say_('a'), 'a/one', 'as it was at the start');
is(say_('b'), '/', 'nobody');
my $st = status();
is_deeply([@$st{qw(zone file consumers keys generation reloads failures error)}],
          ['c', $file, 1, 1, 1, 0, 0, undef], 'status');
cmp_ok(abs(time - $st->{loaded}), '<', 60, 'time');
cmp_ok($st->{bytes}, '<', 200, 'bytes');

replace(consumers(a => 'two', b => 'free'));
becomes('b', 'b/free', 'a new consumer');
is(say_('a'), 'a/two', 'another plan');
$st = status();
is_deeply([@$st{qw(consumers keys generation reloads failures)}],
          [2, 2, 2, 1, 0], 'status');
is(count_log(qr/\[notice\].*loaded 2 consumers with 2 keys from "\Q$file\E"/),
   1, 'it is logged');

replace(consumers(b => 'free'));
becomes('a', '/', 'a consumer is removed');
is($s->get('/r', 'X-API-Key' => 'a')->{status}, 401, 'and has no access');

$s->file('c.json', consumers(b => 'in-place'));
becomes('b', 'b/in-place', 'a file that is written in place');

# a file that only looks different

my $generation = status()->{generation};
utime time, time - 1000, $file;
sleep 0.5;
is(status()->{generation}, $generation, 'touched, but the same');


# --- bad files: the old one stays, one line is logged

my $failures = 0;

for (['{"consumers":[', 'c.json:1:15: unexpected end', 'truncated'],
     ['', 'c.json:1:1: unexpected end', 'empty'],
     ["\n\n{]", 'c.json:3:2: unexpected token', 'malformed'],
     [consumers(map { ($_ => "p") } 1 .. 20_000), 'zone "c" is too small',
      'too large'])
{
    my ($text, $why, $name) = @$_;
    $failures++;

    replace($text);
    ok(eval { wait_for(sub { (status()->{error} // '') =~ /\Q$why\E/ },
                       $name); 1 }, "$name: it is told in the status")
        or diag explain status();
    is(say_('b'), 'b/in-place', "$name: the old file stays");
    sleep 0.3;
    is(count_log(qr/\[error\].*\Q$why\E.*, consumers loaded before are kept/),
       1, "$name: one line in the log");
    is(status()->{failures}, $failures, "$name: counted");
    is(status()->{generation}, $generation, "$name: no new generation");
}

unlink $file;
wait_for(sub { (status()->{error} // '') =~ /No such file/ }, 'the error');
sleep 0.3;
is(count_log(qr/\[error\].*\Qopen() "$file" failed (2: No such file\E/), 1,
   'removed: one line in the log');
is(say_('b'), 'b/in-place', 'removed: the old file stays');

replace(consumers(b => 'in-place'));
ok(eval { wait_for(sub { !defined status()->{error} }, 'good'); 1 },
   'as it was before: good again');
is(status()->{generation}, $generation, 'and not loaded again');

replace(consumers(b => 'good'));
becomes('b', 'b/good', 'and it goes on');
is(status()->{failures}, 5, 'failures stay');

my $text = $s->get('/status?format=prometheus')->{body};
like($text, qr/^apiscale_consumers_loaded\{zone="c"\} 1$/m, 'metrics: loaded');
like($text, qr/^apiscale_consumers_keys\{zone="c"\} 1$/m, 'metrics: keys');
like($text, qr/^apiscale_consumers_reload_failures_total\{zone="c"\} 5$/m,
     'metrics: failures');
like($text, qr/^apiscale_consumers_reloads_total\{zone="c"\} \d+$/m,
     'metrics: reloads');
like($text, qr/^apiscale_consumers_loaded_timestamp_seconds\{zone="c"\} \d+$/m,
     'metrics: time');


# --- a request that has begun keeps what it found

my $front = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1',
                                  LocalPort => port(20), ReuseAddr => 1)
    or die $!;
$s->reload(http => http('50ms'), config => $config . <<"END");
    location /slow {
        set \$before \$apiscale_plan;
        add_header X-Plan "\$before \$apiscale_plan";
        proxy_pass http://127.0.0.1:@{[port(20)]};
    }
END
my $client = $s->connect;
print $client "GET /slow HTTP/1.0\r\nX-API-Key: b\r\n\r\n";
my $origin = $front->accept;
replace(consumers(b => 'later'));
becomes('b', 'b/later', 'a new plan meanwhile');
replace(consumers(b => 'later still'));
becomes('b', 'b/later still', 'and once more');
print $origin "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
close $origin;
like(do { local $/; <$client> }, qr/^X-Plan: good good\r$/m,
     'a request sees one plan');
close $front;


# --- with a reload of nginx

$s->reload(http => http('0'), config => $config);
is(say_('b'), 'b/later still', 'reload: an unchanged file');
$generation = status()->{generation};
$s->reload;
is(status()->{generation}, $generation, 'reload: nothing to load');

replace(consumers(b => 'hup', c => 'new'));
sleep 0.3;
is(say_('b'), 'b/later still', 'reload=0: not before a reload');
$s->reload;
is(say_('b'), 'b/hup', 'reload: a changed file');
is(say_('c'), 'c/new', 'reload: a new consumer');

# a configuration that is refused changes nothing, whatever it is refused for

replace('{"consumers":[1]}');
my $pid = $s->pid;
my @workers = sort { $a <=> $b } $s->workers;
kill 'HUP', $pid;
wait_for(sub { count_log(qr/\[emerg\].*c\.json:1:15: a consumer is not an object/) },
         'the refusal');
is(say_('b'), 'b/hup', 'reload: a bad file is refused');
is_deeply([sort { $a <=> $b } $s->workers], \@workers, 'by the same workers');

replace(consumers(b => 'not yet'));
$s->write_conf(http => http(0) . "server { listen 192.0.2.1:1; }");
kill 'HUP', $pid;
wait_for(sub { count_log(qr/\[emerg\].*bind\(\) to 192\.0\.2\.1:1 failed/) },
         'the refusal');
is(say_('b'), 'b/hup',
   'reload: a good file of a configuration that cannot be used');
$s->reload(http => http(0));
is(say_('b'), 'b/not yet', 'reload: it is, with the next');

# another file, another zone

my $errors = $s->complaints;
$s->file('d.json', consumers(d => 'other'));
$s->reload(http => http('50ms', 'c:1m', root() . '/d.json'));
is(say_('d'), 'd/other', 'reload: another file');
is(say_('b'), '/', 'reload: not that of before');
sleep 0.3;
is(say_('d'), 'd/other', 'reload: nor does that come back');

my $before = status();
$s->reload(http => http('50ms', 'c:2m'));
is(say_('b'), 'b/not yet', 'reload: another size');
is(status()->{reloads}, $before->{reloads}, 'reload: counts are kept');
is(status()->{failures}, $before->{failures}, 'reload: failures, too');
$s->reload(http => http('50ms', 'e:2m'));
is(say_('b'), 'b/not yet', 'reload: another zone');
$s->reload(http => '', config => $config =~ s/apiscale_consumer required;//r);
is(say_('b'), '/', 'reload: none');
$s->reload(http => http('50ms'), config => $config);
is(say_('b'), 'b/not yet', 'reload: again');

for (1 .. 10) {
    replace(consumers(b => "r$_"));
    $s->reload;
    is(say_('b'), "b/r$_", "reload $_");
}
is($s->complaints, $errors, 'nothing else to complain of');


# --- a worker that quits is not held by the timer

$s->reload(http => http('1h'));
@workers = $s->workers;
$s->reload;
pass('workers have gone');

# --- the first worker is killed: the next one goes on

$s->reload(http => http('50ms'));
my %old = map { $_ => 1 } $s->workers;
kill 'KILL', keys %old;
wait_for(sub { my @w = $s->workers; @w == 2 && !grep { $old{$_} } @w },
         'new workers');
replace(consumers(b => 'after'));
becomes('b', 'b/after', 'a new worker looks at the file');

$s->stop;
done_testing();
