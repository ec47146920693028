# Windows: what clients are told of fixed and sliding ones, and waits that
# really lead to admission.

use strict;
use warnings;

use Test::More;
use Time::HiRes qw(time sleep);
use ApiscaleLab;

use constant MONDAY => 4 * 86400;

my $s = ApiscaleLab->new(
    http => <<'END',
    apiscale_limit_log_level info;
    apiscale_limit_zone zone=z:1m;
END
    config => <<'END');
        add_header X-Status $apiscale_limit_status always;
        add_header X-Policy $apiscale_limit_policy always;
        add_header X-Left $apiscale_limit_remaining always;

        location /fixed { apiscale_limit zone=z key=$arg_k rate=5r/d window=fixed policy=f; empty_gif; }
        location /sliding { apiscale_limit zone=z key=$arg_k rate=5r/d window=sliding policy=s; empty_gif; }
        location /week { apiscale_limit zone=z key=$arg_k rate=5r/w window=fixed; empty_gif; }
        location /quarter { apiscale_limit zone=z key=$arg_k rate=5r/15m window=fixed; empty_gif; }
        location /named { apiscale_limit zone=z key=$arg_k rate=100r/m window=fixed;
                          apiscale_limit zone=z key=$arg_k rate=100r/m window=sliding;
                          apiscale_limit zone=z key=$arg_k rate=100r/m window=rolling;
                          empty_gif; }
        location /delta { apiscale_limit_headers x-ratelimit=delta ratelimit;
                          apiscale_limit zone=z key=$arg_k rate=5r/d window=fixed policy=f;
                          empty_gif; }
        location /cost { apiscale_limit zone=z key=$arg_k rate=5r/d window=$WINDOW policy=c cost=$arg_c; empty_gif; }
        location /f2 { apiscale_limit zone=z key=$arg_k rate=3r/2s window=fixed policy=f2; empty_gif; }
        location /s2 { apiscale_limit zone=z key=$arg_k rate=3r/2s window=sliding policy=s2; empty_gif; }
        location /f1 { apiscale_limit zone=z key=$arg_k rate=2r/s window=fixed policy=f1; empty_gif; }
        location /s1 { apiscale_limit zone=z key=$arg_k rate=2r/s window=sliding policy=s1; empty_gif; }
END

$s->{config} =~ s{^ *location /cost.*\n}{
    join '', map { "location /cost_$_ { apiscale_limit zone=z key=\$arg_k "
                   . "rate=5r/d window=$_ policy=c_$_ cost=\$arg_c; "
                   . "empty_gif; }\n" } 'fixed', 'sliding'
}me;

$s->start;

# Runs "what" with a new key, again if a window of "period" ended meanwhile.

my $Key = 0;

sub within {
    my ($period, $what) = @_;

    for (1 .. 5) {
        my $window = int((time - MONDAY) / $period);
        my @r = $what->('k' . ++$Key);
        return @r if int((time - MONDAY) / $period) == $window;
    }
    die "no window of $period s was long enough\n";
}

sub ratelimit {
    my ($r) = @_;
    return h($r, 'RateLimit') =~ /^"([^"]*)";r=(\d+);t=(\d+)$/;
}

# fixed

my ($now, @r) = within(86400, sub {
    my $k = shift;
    return (time, map { $s->get("/fixed?k=$k") } 1 .. 6);
});

for my $i (0 .. 5) {
    my $r = $r[$i];
    my $n = $i + 1;
    my $left = $i < 5 ? 4 - $i : 0;

    is($r->{status}, $i < 5 ? 200 : 429, "fixed $n: status");
    is(h($r, 'X-RateLimit-Limit'), 5, "fixed $n: limit");
    is(h($r, 'X-RateLimit-Remaining'), $left, "fixed $n: remaining");
    is(h($r, 'X-Left'), $left, "fixed $n: the variable says so, too");
    is(h($r, 'X-RateLimit-Reset') % 86400, 0, "fixed $n: reset at midnight");
    cmp_ok(h($r, 'X-RateLimit-Reset'), '>', $now, "fixed $n: the next one");
    cmp_ok(h($r, 'X-RateLimit-Reset'), '<=', $now + 86400 + 1,
           "fixed $n: and not the one after it");
    is(h($r, 'RateLimit-Policy'), '"f";q=5;w=86400', "fixed $n: policy");

    my ($name, $left2, $t) = ratelimit($r);
    is($name, 'f', "fixed $n: name");
    is($left2, $left, "fixed $n: r");
    my $rest = h($r, 'X-RateLimit-Reset') - $now;
    cmp_ok($t, '<=', $rest + 1, "fixed $n: t is what is left of the day");
    cmp_ok($t, '>=', $rest - 10, "fixed $n: t is what is left of the day");
}

my $retry = h($r[5], 'Retry-After');
cmp_ok($retry, '>=', h($r[5], 'X-RateLimit-Reset') - time - 1,
       'fixed: Retry-After is midnight');
cmp_ok($retry, '<=', h($r[5], 'X-RateLimit-Reset') - $now + 1,
       'fixed: Retry-After is midnight');
ok(!defined h($r[4], 'Retry-After'), 'fixed: none on what is admitted');
is(h($r[5], 'X-Status'), 'REJECTED', 'fixed: $apiscale_limit_status');

for (['/week', 604800, MONDAY], ['/quarter', 900, 0]) {
    my ($uri, $period, $offset) = @$_;
    my ($r) = within($period, sub { $s->get("$uri?k=$_[0]") });
    my $reset = h($r, 'X-RateLimit-Reset');

    is(($reset - $offset) % $period, 0, "$uri: ends at a multiple");
    cmp_ok($reset, '>', time - 10, "$uri: in the future");
    cmp_ok($reset, '<=', time + $period + 1, "$uri: of this window");
    like(h($r, 'RateLimit-Policy'), qr/;q=5;w=$period$/, "$uri: w");
}

my ($d) = within(86400, sub { $s->get("/delta?k=$_[0]") });
cmp_ok(abs(h($d, 'X-RateLimit-Reset') - (86400 - time % 86400)), '<=', 10,
       'delta: seconds to midnight');

# sliding

($now, @r) = within(86400, sub {
    my $k = shift;
    return (time, map { $s->get("/sliding?k=$k") } 1 .. 6);
});

for my $i (0 .. 5) {
    my $r = $r[$i];
    my $n = $i + 1;
    my $left = $i < 5 ? 4 - $i : 0;
    my ($name, $left2, $t) = ratelimit($r);

    is($r->{status}, $i < 5 ? 200 : 429, "sliding $n: status");
    is(h($r, 'X-RateLimit-Limit'), 5, "sliding $n: limit");
    is(h($r, 'X-RateLimit-Remaining'), $left, "sliding $n: remaining");
    is($left2, $left, "sliding $n: r");
    is(h($r, 'RateLimit-Policy'), '"s";q=5;w=86400', "sliding $n: policy");
    is(h($r, 'X-RateLimit-Reset') % 86400, 0,
       "sliding $n: nothing of a day is counted after the next");
    cmp_ok(h($r, 'X-RateLimit-Reset'), '>', $now + 86400,
           "sliding $n: after the next day");
    cmp_ok(h($r, 'X-RateLimit-Reset'), '<=', $now + 2 * 86400 + 1,
           "sliding $n: not later");
    cmp_ok($t, '>=', 1, "sliding $n: t");
}

# with all 5 of today, one is there again when a fifth of tomorrow has passed

my $wait = 86400 - $now % 86400 + 86400 / 5;
cmp_ok(abs(h($r[5], 'Retry-After') - $wait), '<=', 10, 'sliding: Retry-After');
cmp_ok((ratelimit($r[5]))[2], '<=', h($r[5], 'Retry-After'),
       'sliding: t is not later');

# names

my ($named) = within(60, sub { $s->get("/named?k=$_[0]") });
is(h($named, 'RateLimit-Policy'), '"100r/m fixed";q=100;w=60, '
   . '"100r/m sliding";q=100;w=60, "100r/m";q=100;w=60',
   'policies without a name');
like(h($named, 'RateLimit'), qr{^"100r/m fixed";r=99;t=\d+, "100r/m sliding";r=99;t=\d+, "100r/m";r=99;t=60$},
     'each has a bucket of its own');

# costs

for my $window ('fixed', 'sliding') {
    my @r = within(86400, sub {
        my $k = shift;
        return map { $s->get("/cost_$window?k=$k&c=$_") } 3, 3, 2, 0, 1, 6;
    });
    is(join(' ', map { $_->{status} } @r), '200 429 200 200 429 429',
       "$window: costs: status");
    is(join(' ', map { h($_, 'X-RateLimit-Remaining') } @r), '2 2 0 0 0 0',
       "$window: costs: what is rejected costs nothing");
    is(join(' ', map { defined h($_, 'Retry-After') ? 1 : 0 } @r),
       '0 1 0 0 1 0', "$window: costs: Retry-After, unless it is in vain");
}

# a client that waits as long as it is told is admitted, each time

for my $uri ('/f1', '/f2', '/s1', '/s2') {
    my ($rejected, $failed, $admitted) = (0, 0, 0);
    my $k = 'loop' . ++$Key;
    my $end = time + 8;

    while (time < $end && $rejected < 3) {
        my $r = $s->get("$uri?k=$k");

        if ($r->{status} == 200) {
            $admitted++;
            next;
        }

        $rejected++;
        sleep h($r, 'Retry-After');
        $r = $s->get("$uri?k=$k");
        $failed++ if $r->{status} != 200;
    }

    cmp_ok($rejected, '>=', 2, "$uri: rejected some");
    is($failed, 0, "$uri: admitted after Retry-After, each time");
    cmp_ok($admitted, '>', 0, "$uri: and some at once");
}

# the estimate of a sliding window: what came at the very end of a window is
# taken to have been spread over it, so that up to 2N - 1 pass in a period; a
# fixed one admits 2N at once around the end of a window

my $k = 'even' . ++$Key;
my @at;
my $end = time + 4;
while (time < $end) {
    push @at, time if $s->get("/s2?k=$k")->{status} == 200;
    sleep 0.02;
}
my $most = 0;
for my $from (@at) {
    my $n = grep { $_ >= $from && $_ < $from + 2 } @at;
    $most = $n if $n > $most;
}
cmp_ok($most, '>=', 3, 'sliding: what the rate admits');
cmp_ok($most, '<=', 5, 'sliding: not twice of it at the end of a window');

$s->stop;
is($s->complaints, '', 'no error, no alert');

done_testing();
