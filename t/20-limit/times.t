# Numbers that clients count with: RateLimit and RateLimit-Policy as a strict
# parser of RFC 9651 reads them, waits that really lead to admission.

use strict;
use warnings;

use POSIX qw(ceil);
use Test::More;
use Time::HiRes qw(time sleep);
use ApiscaleLab;

# A List of Strings with parameters, by the algorithms of RFC 9651, section
# 4.2, and nothing more lenient.  Returns [value, { name => value }]... or
# dies.

sub sf_list {
    local $_ = shift;
    my @list;

    s/^ +//;
    while (length) {
        push @list, [sf_bare(), sf_params()];
        s/^[ \t]*//;
        last if !length;
        s/^,// or die "no comma at <$_>\n";
        s/^[ \t]*//;
        length or die "a trailing comma\n";
    }
    return @list;
}

sub sf_bare {
    if (s/^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"//) {
        (my $v = $1) =~ s/\\(.)/$1/g;
        return $v;
    }
    if (s/^(-?)(\d+)(?![\d.])//) {
        length $2 <= 15 or die "an Integer of more than 15 digits\n";
        return $1 . $2;
    }
    if (s/^([A-Za-z*][!#\$%&'*+\-.^_`|~0-9A-Za-z:\/]*)//) {
        return \"$1";
    }
    die "no item at <$_>\n";
}

sub sf_params {
    my %p;
    while (s/^;//) {
        s/^ *//;
        s/^([a-z*][a-z0-9_\-.*]*)// or die "no key at <$_>\n";
        my $key = $1;
        $p{$key} = s/^=// ? sf_bare() : 1;
    }
    return \%p;
}

# the parser itself

is_deeply([sf_list('"a";q=1;w=60, "b c";r=0')],
          [['a', { q => 1, w => 60 }], ['b c', { r => 0 }]], 'parser: a list');
is_deeply([sf_list('"a\\\\b\\"c"')], [['a\\b"c', {}]], 'parser: escapes');
ok(!eval { sf_list($_); 1 }, "parser: refuses <$_>")
    for '"a",', '"a" "b"', '"a', "\"\x7f\"", '"a";Q=1', '"a";q=1.', ',"a"',
        '"a";q=1234567890123456', 'limit=10, remaining=5', "\"caf\xe9\"";

my @policies = (
    # name, rate, burst, N, period in seconds
    ['plain', '100r/m', 100, 100, 60],
    ['a b;c,d=e', '1000r/15m', 50, 1000, 900],
    ['!#$%&()*+-./:<=>?@[]^_`{|}~', '10000r/d', 10000, 10000, 86400],
    ['n' x 64, '1r/w', 2, 1, 604800],
    ['fast', '1000000r/s', 1, 1000000, 1],
    ['large', '1000000r/s', 999999999999999, 1000000, 1],
    ['thirds', '3r/s', 7, 3, 1],
    ['sevenths', '7r/m', 1, 7, 60],
    ['3r/h', '3r/h', 3, 3, 3600],
);

my $lines = join "\n", map {
    my ($name, $rate, $burst) = @$_;
    my $policy = $name eq $rate ? '' : "'policy=$name'";
    "apiscale_limit zone=z rate=$rate burst=$burst $policy key=\$arg_k;"
} @policies;
# a "$" of a name is no variable
my $s = ApiscaleLab->new(
    http => <<'END',
    apiscale_limit_log_level info;
    apiscale_limit_zone zone=z:1m;
END
    config => <<"END");
        apiscale_limit_headers x-ratelimit=delta ratelimit;
        location /all { $lines empty_gif; }
        location /wait {
            apiscale_limit zone=z rate=3r/s burst=2 policy=wait key=\$arg_k cost=\$arg_c;
            empty_gif;
        }
        location /two {
            apiscale_limit zone=z rate=1r/s burst=1 policy=one key=\$arg_k;
            apiscale_limit zone=z rate=2r/s burst=2 policy=two key=\$arg_k;
            empty_gif;
        }
        location /epoch {
            apiscale_limit_headers x-ratelimit;
            apiscale_limit zone=z rate=1r/s burst=3 policy=epoch key=\$arg_k;
            empty_gif;
        }
        location /refill {
            apiscale_limit zone=z rate=20r/s burst=10 policy=refill key=\$arg_k cost=\$arg_c;
            empty_gif;
        }
END

$s->start;

my $r = $s->get('/all?k=1');
my @policy = sf_list(h($r, 'RateLimit-Policy'));
my @state = sf_list(h($r, 'RateLimit'));

is_deeply([map { $_->[0] } @policy], [map { $_->[0] } @policies],
          'RateLimit-Policy: all, in the order written');
is_deeply([map { $_->[0] } @state], [map { $_->[0] } @policies],
          'RateLimit: all, in the order written');

for my $i (0 .. $#policies) {
    my ($name, $rate, $burst, $n, $period) = @{$policies[$i]};
    my ($p, $q) = ($policy[$i][1], $state[$i][1]);
    my $t = $period / $n;
    $name = substr($name, 0, 20);

    is_deeply([sort keys %$p], ['q', 'w'], "$name: q and w");
    is_deeply([sort keys %$q], ['r', 't'], "$name: r and t");
    is($p->{q}, $burst, "$name: q is the burst");
    is($q->{r}, $burst - 1, "$name: r");

    # intervals are whole ticks, rounded up: less than 0.1 % too slow
    for ([w => $p->{w}, $burst * $t],
         [t => $q->{t}, ($burst - 1 || 1) * $t])
    {
        my ($what, $got, $exact) = @$_;
        cmp_ok($got, '>=', ceil($exact) || 1, "$name: $what is not early");
        cmp_ok($got, '<=', ceil($exact * 1.001) || 1, "$name: $what");
    }
}

is(h($r, 'X-RateLimit-Limit'), 1, 'of all the one with nothing left');

# a client that waits Retry-After is admitted, each time

for my $k (1 .. 3) {
    1 while ($r = $s->get("/wait?k=$k"))->{status} == 200;
    is($r->{status}, 429, "round $k: rejected");
    is(h($r, 'Retry-After'), 1, "round $k: Retry-After is at least a second");
    is((sf_list(h($r, 'RateLimit')))[0][1]{t}, 1, "round $k: t is, too");
    sleep h($r, 'Retry-After');
    is($s->get("/wait?k=$k")->{status}, 200, "round $k: admitted");
}

# also with a cost that is the whole bucket, and with two policies

1 while ($r = $s->get('/wait?k=c&c=2'))->{status} == 200;
sleep h($r, 'Retry-After');
is($s->get('/wait?k=c&c=2')->{status}, 200, 'a cost of the whole bucket');

for (1 .. 2) {
    1 while ($r = $s->get('/two?k=1'))->{status} == 200;
    sleep h($r, 'Retry-After');
    is($s->get('/two?k=1')->{status}, 200, 'two policies');
}

# not earlier than told: of 10 at 20 a second, the next comes after 50 ms

my $first = time;
is($s->get('/refill?k=1&c=10')->{status}, 200, 'a whole burst');
my $admitted = 0;
my $end;
while (1) {
    $admitted++ if $s->get('/refill?k=1&c=1')->{status} == 200;
    $end = time;
    last if $end - $first > 0.6;
}
cmp_ok($admitted, '<=', ($end - $first) * 20, 'never more than the rate');
cmp_ok($admitted, '>=', 1, 'and not none');

# Reset is when Remaining is Limit again

$r = $s->get('/epoch?k=1');
my $reset = h($r, 'X-RateLimit-Reset');
my $now = time;
cmp_ok($reset, '>=', $now + 1 - 1, 'Reset of one request: not in the past');
cmp_ok($reset, '<=', ceil($now + 1), 'Reset of one request');
cmp_ok($reset, '>=', ceil($now), 'Reset of one request: not early');
sleep $reset - time if $reset > time;
$r = $s->get('/epoch?k=1');
is(h($r, 'X-RateLimit-Remaining'), h($r, 'X-RateLimit-Limit') - 1,
   'at Reset the bucket was full');

# an idle bucket: Reset is one interval away after a request, whatever was

my @left = map { h($s->get('/refill?k=2&c=' . $_), 'X-RateLimit-Remaining') }
               0, 4, 0, 0;
is_deeply([@left[0, 1]], [10, 6], 'Remaining of an idle bucket, and of cost 4');
ok($left[3] >= $left[2] && $left[3] <= 10, 'Remaining grows with time');

$s->stop;
is($s->complaints, '', 'no error, no alert');

done_testing();
