# A reload keeps each key's debt, rescaled to a rate that changed, and takes
# a zone of another size along.

use strict;
use warnings;

use Test::More;
use ApiscaleLab;

my $s = ApiscaleLab->new(workers => 2);

sub conf {
    my ($lines, $zone, $more) = @_;
    $zone ||= '1m';
    return (http => "apiscale_limit_log_level info; $lines->[1]"
                    . " apiscale_limit_zone zone=z:$zone;",
            config => "location /json { apiscale_limit off; apiscale_status; }
                       location /t { apiscale_limit_headers x-ratelimit=delta;
                       $lines->[0] empty_gif; } " . ($more || ''));
}

sub one { return ["apiscale_limit zone=z key=\$arg_k $_[0];", ''] }

sub left { return h($s->get("/t?k=$_[0]"), 'X-RateLimit-Remaining') }

# what is left without the request that asks, by a cost of 0
sub peek { return h($s->get("/t?k=$_[0]&c=0"), 'X-RateLimit-Remaining') }

my $cost = 'cost=$arg_c';

# the same configuration

$s->start(conf(one("rate=10r/d policy=p $cost")));
is(left('a'), 9, 'before');
is(left('a'), 8, 'before');
$s->reload;
is(left('a'), 7, 'a reload of the same configuration');
$s->reload for 1 .. 3;
is(left('a'), 6, 'and three more');

# another rate: as many requests are owed, at the new pace

$s->reload(conf(one("rate=20r/d policy=p $cost")));
is(peek('a'), 16, '4 owed of 10r/d are 4 owed of 20r/d');
is(left('a'), 15, 'and one more');
my $reset = h($s->get('/t?k=a&c=0'), 'X-RateLimit-Reset');
cmp_ok($reset, '<=', 5 * 86400 / 20, 'their reset is at the new pace');
cmp_ok($reset, '>', 5 * 86400 / 20 - 60, 'their reset is at the new pace');

$s->reload(conf(one("rate=10r/w burst=20 policy=p $cost")));
is(peek('a'), 15, 'a slower rate');
$reset = h($s->get('/t?k=a&c=0'), 'X-RateLimit-Reset');
cmp_ok($reset, '<=', 5 * 604800 / 10, 'a slower rate: its pace');
cmp_ok($reset, '>', 5 * 604800 / 10 - 600, 'a slower rate: its pace');

# 10 used of 10r/d, then 20r/d

$s->reload(conf(one("rate=10r/d policy=used $cost")));
is(h($s->get('/t?k=b&c=10'), 'X-RateLimit-Remaining'), 0, '10 used of 10');
is($s->get('/t?k=b')->{status}, 429, '10 used of 10: rejected');
$s->reload(conf(one("rate=20r/d policy=used $cost")));
is(peek('b'), 10, '10 used of 10 are 10 left of 20');
is(left('b'), 9, 'which can be used');
$s->reload(conf(one("rate=10r/d policy=used $cost")));
my $r = $s->get('/t?k=b&c=0');
is(h($r, 'X-RateLimit-Remaining'), 0, '11 owed of 10: none is left');
$r = $s->get('/t?k=b');
is($r->{status}, 429, '11 owed of 10: rejected');
cmp_ok(h($r, 'Retry-After'), '<=', 2 * 8640, '11 owed of 10: the wait');
cmp_ok(h($r, 'Retry-After'), '>', 2 * 8640 - 60, '11 owed of 10: the wait');

# another burst, at the same rate

$s->reload(conf(one("rate=10r/d burst=5 policy=b $cost")));
is(left('c'), 4, 'a burst of 5');
$s->reload(conf(one("rate=10r/d burst=50 policy=b $cost")));
is(peek('c'), 49, 'a burst of 50');

# through more rates than a zone has generations, a key seen each time

$s->reload(conf(one("rate=101r/d policy=g $cost")));
$s->get('/t?k=g&c=4');
is(101 - peek('g'), 4, 'rate 1 of 20: 4 owed');

my $owed = 4;
for my $n (2 .. 20) {
    $s->reload(conf(one('rate=' . (100 + $n) . "r/d policy=g $cost")));
    $s->get('/t?k=g&c=1');
    $owed++;
    is(100 + $n - peek('g'), $owed, "rate $n of 20: what is owed");
}

# a policy that goes, and comes again

$s->reload(conf(one("rate=10r/d policy=gone $cost")));
is(left('d'), 9, 'a policy');
$s->reload(conf(one("rate=10r/d policy=else $cost")));
is(left('d'), 9, 'another name is another policy');
$s->reload(conf(one("rate=10r/d policy=gone $cost")));
is(left('d'), 8, 'the first again: its debts were not lost meanwhile');

# another key: other buckets

$s->reload(conf(["apiscale_limit zone=z key=\$arg_j rate=10r/d policy=gone $cost;",
                 '']));
is(h($s->get('/t?j=new'), 'X-RateLimit-Remaining'), 9, 'another key');

# settings

$s->reload(conf(one("rate=10r/d policy=gone $cost dry_run")));
ok(!defined h($s->get('/t?k=d'), 'X-RateLimit-Remaining'), 'dry_run on');
$s->reload(conf(one("rate=10r/d policy=gone $cost")));
is(left('d'), 6, 'a dry run charges, too');

# another size: larger, smaller, with the keys and the counters

sub counters {
    my $r = $s->get('/json', Accept => 'application/json');
    my ($passed) = $r->{body} =~ /"policy":"gone".*?"passed":(\d+)/s;
    return $passed;
}

my $passed = counters();
cmp_ok($passed, '>', 3, 'the counters of a policy survive reloads');

$s->new_log;

for my $size ('4m', '32k', '64k', '1m', '1056k') {
    my $d = peek('d');
    my $before = counters();
    $s->reload(conf(one("rate=10r/d policy=gone $cost"), $size));
    my $log = $s->new_log;
    is(scalar(() = $log =~ /\[notice\] .*zone "z" changed its size: its keys were kept, but for 0 that did not fit/g),
       1, "zone of $size: one line in the log");
    is(peek('d'), $d, "zone of $size: the keys are kept");
    cmp_ok(counters(), '>=', $before, "zone of $size: the counters, too");
}

is(left('d'), 5, 'and a key goes on');

# size and rate at once, and a policy that is not in use meanwhile

$s->reload(conf(one("rate=20r/d policy=gone $cost"), '2m'));
is(peek('d'), 15, 'size and rate at once');
$s->reload(conf(one("rate=20r/d policy=else2 $cost"), '1m'));
$s->reload(conf(one("rate=20r/d policy=gone $cost"), '2m'));
is(peek('d'), 15, 'a policy that is not in use while the size changes');

# more keys than a smaller zone holds

$s->get("/t?k=many$_") for 1 .. 3000;
$s->new_log;
$s->reload(conf(one("rate=20r/d policy=gone $cost"), '32k'));
my ($lost) = $s->new_log =~ /but for (\d+) that did not fit/;
cmp_ok($lost, '>', 1000, 'a zone that is too small: it tells how many keys');
cmp_ok($lost, '<', 3000, 'a zone that is too small: not all are lost');
my $kept = grep { peek("many$_") == 19 } 1 .. 3000;
cmp_ok($kept, '>', 500, 'a zone that is too small: it is full of them');
cmp_ok($kept + $lost, '>=', 2990, 'a zone that is too small: and no other lost');

# a zone that goes and comes is new

$s->reload(http => '', config => 'location /t { empty_gif; }');
is($s->get('/t')->{status}, 200, 'no zone any more');
$s->reload(conf(one("rate=20r/d policy=gone $cost"), '32k'));
is(left('d'), 19, 'a zone that was gone starts empty');

# a bad configuration leaves all as it is

$s->write_conf(conf(one("rate=0r/d policy=gone"), '32k'));
kill 'HUP', $s->pid;
wait_for(sub { $s->error_log =~ /invalid rate "0r\/d": it would admit nothing in \S+:\d+/ },
         'the refusal');
is(left('d'), 18, 'a bad configuration: the old one serves on');

# the limit module goes away and comes back
$s->reload(conf(one("rate=20r/d policy=gone $cost"), '32k'));
is(left('d'), 17, 'and the good one is taken after it');

# new policies take the slots of those that are not there any more

for my $round (1 .. 5) {
    $s->reload(conf([join("\n", map {
        "apiscale_limit zone=z key=\$arg_k rate=10r/d policy=r${round}_$_;"
        } 1 .. 15), ''], '32k'));
    is(left("round$round"), 9, "15 new policies, round $round");
}

# a reload while requests are under way: none fails, none is admitted twice

$s->reload(conf(one("rate=1r/d burst=150 policy=busy")));
my $pid = fork // die;
if (!$pid) {
    my $bad = 0;
    for (1 .. 300) {
        my $r = eval { $s->get('/t?k=x') };
        $bad++ if !$r || $r->{status} !~ /^(200|429)$/;
        $s->file('admitted', ($s->slurp('admitted') || 0) + 1)
            if $r && $r->{status} == 200;
    }
    POSIX::_exit($bad ? 1 : 0);
}
$s->reload for 1 .. 4;
waitpid $pid, 0;
is($?, 0, 'reloads in between: each request is answered');
is($s->slurp('admitted'), 150, 'reloads in between: the burst, and no more');

# a new start keeps nothing

$s->stop;
$s->start(conf(one("rate=20r/d policy=gone $cost"), '32k'));
is(left('d'), 19, 'a new start is a new start');
$s->stop;

is($s->complaints('alert|crit'), '', 'no alert');
is(join("\n", grep { !/invalid rate/ } split /\n/,
              $s->complaints('emerg|error')), '', 'no other error');

done_testing();
