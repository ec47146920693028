# A million consumers: how long nginx takes to start with them, what a reload
# of them under load does to requests, and what is left when the first worker
# is killed while it loads.  Figures are printed; those that depend on what
# else the machine does are held against generous bounds.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use IO::Select;
use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use ApiscaleLab;

use constant { N => 1_000_000, KILLS => 25 };

my $s = ApiscaleLab->new(workers => 2);
my $file = root() . '/c.json';

# the plan tells which file it is; every 1000th key is known to this suite
sub generate {
    my ($plan, $n) = @_;

    open(my $out, '>', "$file.new") or die "$file: $!";
    print $out '{"consumers":[';
    for my $i (1 .. $n // N) {
        my $digest = $i % 1000 ? sprintf('%08x', $i * 2654435761 % 2**32)
                                 . sprintf('%056x', $i)
                               : sha256_hex("key-$i");
        print $out $i == 1 ? "\n" : ",\n",
            qq({"id":"consumer-$i","plan":"$plan","keys":["sha256:$digest"]});
    }
    print $out "\n]}\n";
    close $out or die $!;
}

sub replace { rename "$file.new", $file or die $! }

sub http { "apiscale_consumers zone=c:140m file=$file reload=$_[0];\n"
           . "keepalive_requests 1000000;\n" }

my $config = <<'END';
    location /say { return 200 "$apiscale_consumer/$apiscale_plan"; }
    location = /status { apiscale_status; }
END

sub say_ { $s->get('/say', 'X-API-Key' => "key-$_[0]")->{body} }
sub status { decode_json($s->get('/status')->{body})->{consumers} }

# memory of a worker that is not shared, in bytes
sub private_memory {
    my ($pid) = @_;
    open(my $in, '<', "/proc/$pid/status") or die "$pid: $!";
    my ($kb) = join('', <$in>) =~ /^RssAnon:\s+(\d+)/m;
    return $kb * 1024;
}


# --- the start

generate('one');
replace();

my $before = time;
$s->start(http => http('200ms'), config => $config);
my $took = time - $before;
diag sprintf('started with a million consumers in %.2f s', $took);
cmp_ok($took, '<', 15, 'nginx starts with a million consumers');

is(say_(1000), 'consumer-1000/one', 'the first that is known');
is(say_(N), 'consumer-' . N . '/one', 'the last');
is(say_(1001), '/', 'a key of nobody');

my $st = status();
is_deeply([@$st{qw(consumers keys generation)}], [N, N, 1], 'all are there');
diag sprintf('%.1f bytes a consumer and copy', $st->{bytes} / N);
cmp_ok($st->{bytes} * 2, '<', 200 * N, 'both copies in under 200 bytes');

my @private = map { private_memory($_) } $s->workers;
cmp_ok($_, '<', 10_000_000, 'no worker has a copy of its own') for @private;


# --- a reload of all of them under load

# Sends requests until it is told to stop; prints the longest in seconds, and
# how many there were.
sub client {
    my ($stop, $to) = @_;

    my $sock = $s->connect;
    my ($n, $longest, $bad, $buf) = (0, 0, 0, '');
    my $sel = IO::Select->new($stop);

    until ($sel->can_read(0)) {
        my $key = 1000 * (1 + int rand N / 1000);
        my $start = time;
        ApiscaleLab::send_all($sock,
            "GET /say HTTP/1.1\r\nHost: l\r\nX-API-Key: key-$key\r\n\r\n");
        my $r = ApiscaleLab::read_response($sock, \$buf);
        my $took = time - $start;
        $longest = $took if $took > $longest;
        $n++;
        $bad++ if $r->{body} !~ m{^consumer-$key/\w+$};
    }

    print $to encode_json([$longest, $n, $bad]);
    close $to;
    POSIX::_exit(0);
}

sub under_load {
    my ($what) = @_;

    pipe(my $stop, my $hold) or die;
    pipe(my $from, my $to) or die;
    my $pid = fork // die;
    if (!$pid) {
        close $hold;
        client($stop, $to);
    }
    close $_ for $stop, $to;
    $what->();
    close $hold;
    local $/;
    my $result = decode_json(<$from>);
    waitpid $pid, 0;
    return @$result;
}

my ($calm, $calm_n) = under_load(sub { sleep 3 });

generate('two');
my ($longest, $n, $bad) = under_load(sub {
    replace();
    wait_for(sub { status()->{generation} == 2 }, 'the second file');
    sleep 0.5;
});

diag sprintf('longest request: %.1f ms while a million are loaded,'
             . ' %.1f ms otherwise (%d and %d requests)',
             $longest * 1e3, $calm * 1e3, $n, $calm_n);
cmp_ok($n, '>', 100, 'there was a load');
is($bad, 0, 'each request has its consumer');
cmp_ok($longest, '<', $calm + 0.05, 'no request waits for the load');
is(say_(2000), 'consumer-2000/two', 'the second file is in use');

# it is read once more when it is sure that a change would show
sleep 2.5;
cmp_ok(private_memory($_), '<', 10_000_000, 'memory is free again')
    for $s->workers;


# --- bad files of that size, under load

for my $end ('', '{"id":"consumer-7"}]}', "\xff]}") {
    generate('bad');
    open(my $out, '+<', "$file.new") or die $!;
    truncate($out, (-s "$file.new") - 4) or die $!;
    seek($out, 0, 2);
    print $out ',' . $end;
    close $out;
    my $failures = status()->{failures};
    ($longest, $n, $bad) = under_load(sub {
        replace();
        wait_for(sub { status()->{failures} > $failures }, 'the refusal');
    });
    is($bad, 0, 'each request has its consumer: ' . status()->{error});
    is(say_(2000), 'consumer-2000/two', 'the second file stays');
}


# --- the first worker is killed while it loads, at any time of it

my @killed;
my $plan = 'k0';
my %plans = ('two' => 1);

# so that a load takes about as long as the kills are apart
for my $i (1 .. KILLS) {
    generate($plan = "k$i", 200_000);
    $plans{$plan} = 1;
    replace();
    sleep 0.05 + rand 0.6;
    my @w = $s->workers;
    push @killed, @w;
    kill 'KILL', @w;
    wait_for(sub {
        my @now = $s->workers;
        my %now = map { $_ => 1 } @now;
        @now == 2 && !grep { $now{$_} } @w
    }, 'new workers');

    my ($id, $is) = split m{/}, say_(2000);
    ok(defined $is && $id eq 'consumer-2000' && $plans{$is},
       "kill $i: one file or another, whole: " . ($is // 'none'));
}

ok(eval { wait_for(sub { say_(2000) eq "consumer-2000/$plan" }, 'it'); 1 },
   'the last file is loaded after all');
is(status()->{consumers}, 200_000, 'all of it');
is(status()->{error}, undef, 'nothing wrong with it');

my %killed = map { $_ => 1 } @killed;
my @other = grep {
    /\[(?:alert|crit|emerg|error)\]/
    && !(/worker process (\d+) exited on signal 9/ && $killed{$1})
    && !(/shared memory zone "c" was locked by (\d+)/ && $killed{$1})
    && !/, consumers loaded before are kept$/
} split /\n/, $s->error_log;
is(join("\n", @other), '', 'no alert but of the signals');
my $locked = () = $s->error_log =~ /shared memory zone "c" was locked by/g;
diag "$locked of " . KILLS . ' kills while the zone was written';


# --- a worker that is asked to quit while it loads

generate('quit');
$s->reload(http => http('50ms'));
generate('quit again');
replace();
sleep 0.3;
$before = time;
$s->reload(http => http('0'));
cmp_ok(time - $before, '<', 20, 'old workers give the load up');
is(say_(2000), 'consumer-2000/quit again', 'the master has loaded it');

$s->stop;
unlink $file, "$file.new";
done_testing();
