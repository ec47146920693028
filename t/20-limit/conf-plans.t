# What "nginx -t" says of plans, windows, stages, corrections and delays.

use strict;
use warnings;

use Test::More;
use ApiscaleLab;

my $s = ApiscaleLab->new;

my $Z = "apiscale_limit_zone zone=z:1m;\n";
my $P = "apiscale_plan free { limit p rate=1r/s; }\n";

# [name, http, config]
my @good = (
    ['a plan that nothing uses', $P, ''],
    ['an empty plan', "$Z apiscale_plan none { }",
     'apiscale_limit zone=z plan=$arg_p default_plan=none;'],
    ['plans without a zone', $P, 'apiscale_limit off;'],
    ['a plan with all', "$Z apiscale_plan a {
          limit one rate=1r/s burst=5;
          limit two rate=10r/15m window=fixed;
          limit three rate=100r/d window=sliding;
          limit four rate=1000r/w window=rolling burst=9; }",
     'apiscale_limit zone=z plan=a default_plan=a key=$uri cost=$arg_c
          scale=0.5 at=access count=4xx dry_run;'],
    ['one policy name in two plans',
     "$Z $P apiscale_plan pro { limit p rate=9r/s; }",
     'apiscale_limit zone=z plan=$arg_p default_plan=pro;'],
    ['a policy of the name of a plan\'s',
     "$Z $P", 'apiscale_limit zone=z rate=5r/s policy=p;
               apiscale_limit zone=z plan=$arg_p default_plan=free;'],
    ['plans in two zones', "$Z $P apiscale_limit_zone zone=y:1m;",
     'apiscale_limit zone=z plan=$arg_p default_plan=free;
      apiscale_limit zone=y plan=$arg_p default_plan=free;'],
    (map { ["window $_", $Z, "apiscale_limit zone=z rate=1r/m window=$_;"] }
         qw(rolling fixed sliding)),
    (map { ["at $_", $Z, "apiscale_limit zone=z rate=1r/m at=$_;"] }
         qw(arrival access upstream)),
    (map { ["count $_", $Z, "apiscale_limit zone=z rate=1r/m count=$_;"] }
         split m{ }, "401 4xx 401,403 401,5xx 100 599 1xx,2xx,3xx,4xx,5xx"),
    (map { ["scale $_", $Z, "apiscale_limit zone=z rate=1r/m scale=$_;"] }
         qw(0 1 0.5 1.0 0.000001 $arg_s)),
    ['settle', $Z, 'apiscale_limit zone=z rate=1r/m settle=$upstream_http_x;'],
    ['delay of 60 s', $Z, 'apiscale_limit zone=z rate=1r/s burst=60 delay;'],
);

# [what nginx says, http, config]; the bad line is the one with "# HERE"
my @bad = (

    # blocks
    [qr/duplicate plan "free"/, "$P apiscale_plan free { # HERE\n}"],
    [qr/invalid number of arguments in "apiscale_plan"/,
     'apiscale_plan { # HERE' . "\n}"],
    [qr/invalid number of arguments in "apiscale_plan"/,
     'apiscale_plan a b { # HERE' . "\n}"],
    [qr/directive "apiscale_plan" has no opening "\{"/,
     'apiscale_plan a; # HERE'],
    [qr/invalid policy name "a\\"/, 'apiscale_plan "a\\\\" { # HERE' . "\n}"],
    [qr/"apiscale_plan" directive is not allowed here/,
     '', "apiscale_plan a { # HERE\n}"],
    [qr/"apiscale_plan" directive is not allowed here/,
     "apiscale_plan a {\napiscale_plan b { # HERE\n} }"],

    # limits
    [qr/unknown directive "rate"/, "apiscale_plan a {\nrate 1r/s; # HERE\n}"],
    [qr/"apiscale_limit" directive is not allowed here/,
     "$Z apiscale_plan a {\napiscale_limit off; # HERE\n}"],
    [qr/"limit" directive is not allowed here/,
     'limit p rate=1r/s; # HERE'],
    [qr/duplicate policy "p" of plan "a"/,
     "apiscale_plan a {\nlimit p rate=1r/s;\nlimit p rate=2r/s; # HERE\n}"],
    [qr/"limit" must have "rate" parameter/,
     "apiscale_plan a {\nlimit p burst=4; # HERE\n}"],
    (map { [qr/invalid parameter "\Q$_\E"/,
            "apiscale_plan a {\nlimit p rate=1r/s $_; # HERE\n}"] }
         qw(delay cost=1 key=$uri zone=z at=access policy=q dry_run one)),
    (map { [qr/duplicate parameter "\Q$_\E"/,
            "apiscale_plan a {\nlimit p rate=1r/s window=rolling burst=2 $_;"
            . " # HERE\n}"] } qw(rate=1r/s window=rolling burst=2)),
    [qr{invalid rate "1r": it must be a number},
     "apiscale_plan a {\nlimit p rate=1r; # HERE\n}"],
    [qr/invalid burst value "0"/,
     "apiscale_plan a {\nlimit p rate=1r/s burst=0; # HERE\n}"],
    [qr/invalid window "daily"/,
     "apiscale_plan a {\nlimit p rate=1r/s window=daily; # HERE\n}"],
    [qr/"burst" requires a rolling window/,
     "apiscale_plan a {\nlimit p rate=1r/s window=fixed burst=2; # HERE\n}"],
    [qr/takes over 100 years to refill/,
     "apiscale_plan a {\nlimit p rate=1r/w burst=9999; # HERE\n}"],
    [qr/invalid policy name ""/,
     "apiscale_plan a {\nlimit '' rate=1r/s; # HERE\n}"],

    # lines with plans
    [qr/"plan" requires "default_plan" parameter/, "$Z $P",
     'apiscale_limit zone=z plan=$arg_p; # HERE'],
    [qr/"default_plan" requires "plan" parameter/, "$Z $P",
     'apiscale_limit zone=z default_plan=free; # HERE'],
    [qr/"default_plan" requires "plan" parameter/, "$Z $P",
     'apiscale_limit zone=z rate=1r/s default_plan=free; # HERE'],
    [qr/unknown apiscale_plan "gold"/, "$Z $P",
     'apiscale_limit zone=z plan=$arg_p default_plan=gold; # HERE'],
    [qr/unknown apiscale_plan "free"/, $Z,
     'apiscale_limit zone=z plan=$arg_p default_plan=free; # HERE'],
    [qr/empty "plan" parameter/, "$Z $P",
     'apiscale_limit zone=z plan= default_plan=free; # HERE'],
    [qr/invalid policy name ""/, "$Z $P",
     'apiscale_limit zone=z plan=$arg_p default_plan=; # HERE'],
    (map { [qr/"plan" cannot be used with "rate", "burst", "window" or "policy" parameter/,
            "$Z $P", "apiscale_limit zone=z plan=\$arg_p default_plan=free "
                     . "$_; # HERE"] }
         qw(rate=1r/s burst=2 window=fixed window=sliding policy=q)),
    [qr/"plan" cannot be used with "delay" parameter/, "$Z $P",
     'apiscale_limit zone=z plan=$arg_p default_plan=free delay; # HERE'],
    [qr/duplicate "plan" of zone "z"/, "$Z $P",
     "apiscale_limit zone=z plan=\$arg_p default_plan=free;\n"
     . "apiscale_limit zone=z plan=\$arg_q default_plan=free; # HERE"],
    (map { [qr/duplicate parameter "\Q$_\E"/, "$Z $P",
            "apiscale_limit zone=z plan=\$arg_p default_plan=free at=access "
            . "count=401 settle=\$arg_s scale=1 $_; # HERE"] }
         qw(plan=$arg_p default_plan=free at=access count=401 settle=$arg_s
            scale=1)),

    # windows
    (map { [qr/invalid window "\Q$_\E": it must be "rolling", "fixed" or "sliding"/,
            $Z, "apiscale_limit zone=z rate=1r/s window=$_; # HERE"] }
         '', qw(Fixed fixe fixed1 day $arg_w)),
    (map { [qr/"burst" requires a rolling window/, $Z,
            "apiscale_limit zone=z rate=1r/s burst=5 window=$_; # HERE"] }
         qw(fixed sliding)),
    (map { [qr/policy "p" of zone "z" has another rate, burst or window elsewhere/,
            $Z, "apiscale_limit zone=z rate=10r/m policy=p;\n"
                . "location / {\napiscale_limit zone=z rate=10r/m window=$_ "
                . "policy=p; # HERE\n}"] } qw(fixed sliding)),
    [qr/duplicate parameter "delay"/, $Z,
     'apiscale_limit zone=z rate=1r/s burst=2 delay delay; # HERE'],

    # stages
    (map { [qr/invalid "at" value "\Q$_\E": it must be "arrival", "access" or "upstream"/,
            $Z, "apiscale_limit zone=z rate=1r/s at=$_; # HERE"] }
         '', qw(preaccess Access access1 $arg_a)),

    # corrections
    (map { my ($codes, $bad) = @$_;
           [qr/invalid status "\Q$bad\E" in "count" parameter/, $Z,
            "apiscale_limit zone=z rate=1r/s count=$codes; # HERE"] }
         ['', ''], ['99', '99'], ['600', '600'], ['6xx', '6xx'],
         ['0xx', '0xx'], ['4x', '4x'], ['4xy', '4xy'], ['40x', '40x'],
         ['x', 'x'], ['401,', ''], [',401', ''], ['401,,403', ''],
         ['401,4o3', '4o3'], ['-401', '-401'], ['4010', '4010'],
         ['$arg_c', '$arg_c'], ['4XX', '4XX']),
    (map { [qr/invalid settle value "\Q$_\E": it must have a variable/, $Z,
            "apiscale_limit zone=z rate=1r/s settle=$_; # HERE"] }
         '5', 'x', ''),
    (map { [qr/invalid scale value "\Q$_\E"/, $Z,
            "apiscale_limit zone=z rate=1r/s scale=$_; # HERE"] }
         '', qw(2 1.1 1.000001 -1 x 50% 1e-1 0x1)),

    # delays
    [qr/"delay" requires "burst" parameter and a rolling window/, $Z,
     'apiscale_limit zone=z rate=1r/s delay; # HERE'],
    [qr/"delay" requires "burst" parameter and a rolling window/, $Z,
     'apiscale_limit zone=z rate=1r/s window=fixed delay; # HERE'],
    [qr/"delay" requires "burst" parameter and a rolling window/, $Z,
     'apiscale_limit zone=z rate=1r/s window=sliding delay; # HERE'],
    [qr/"delay" with a burst of 61 at the rate "1r\/s" could hold a request for over 60 seconds/,
     $Z, 'apiscale_limit zone=z rate=1r/s burst=61 delay; # HERE'],
    [qr/invalid parameter "delay=1s"/, $Z,
     'apiscale_limit zone=z rate=1r/s burst=2 delay=1s; # HERE'],
);

for my $case (@good) {
    my ($name, $http, $config) = @$case;
    my ($ok, $text) = $s->check(http => $http, config => $config);
    ok($ok, "good: $name") or diag($text);
    unlike($text, qr/\[(warn|error|emerg|alert|crit)\]/,
           "good: $name: nothing to complain of");
}

for my $case (@bad) {
    my ($like, $http, $config) = @$case;
    $config //= '';
    (my $name = $http . $config) =~ s/^.*?([^\n;{]*)(; )?# HERE.*$/$1/s;
    $name = substr($name, 0, 70);

    my ($ok, $text, $status) = $s->check(http => "$http\n",
                                         config => "$config\n");
    ok(!$ok, "bad: $name: is refused");
    is($status >> 8, 1, "bad: $name: exits, does not crash");

    my ($line) = grep { /\[emerg\]/ } split /\n/, $text;
    like($line // $text, $like, "bad: $name: the reason");

    my @lines = split /\n/, $s->text;
    my ($at) = grep { $lines[$_ - 1] =~ /# HERE/ } 1 .. @lines;
    like($line // $text, qr/ in \Q$s->{conf}\E:$at$/,
         "bad: $name: the file and line");
}

# a plan in another file: its name and line

$s->file('conf/plan.inc', "\nlimit p rate=1r/s;\n\nlimit q rate=0r/s;\n");
my ($ok, $text) = $s->check(http => 'apiscale_plan a { include plan.inc; }');
ok(!$ok, 'an included file');
like($text, qr/invalid rate "0r\/s": it would admit nothing in \S+plan\.inc:4\n/,
     'an included file: its name and line');

done_testing();
