# What "nginx -t" says of the limiter's directives: what is good passes
# without a warning, what is bad is refused with its reason, file and line.

use strict;
use warnings;

use Test::More;
use ApiscaleLab;

my $s = ApiscaleLab->new;

my $Z = "apiscale_limit_zone zone=z:1m;\n";

my $settings = 'apiscale_limit_status 430; apiscale_limit_log_level warn;
    apiscale_limit_dry_run on; apiscale_limit_headers off;
    apiscale_client_net 24 48; apiscale_problem off;
    apiscale_problem_base https://example.com/;';

# [name, http, config]
my @good = (
    ['every parameter',
     $Z, 'location / { apiscale_limit zone=z key=$remote_addr rate=10r/s '
         . 'burst=20 policy=p cost=2 dry_run; }'],
    ['each window, stage and correction',
     $Z, 'location / { apiscale_limit zone=z rate=10r/w window=fixed;
          apiscale_limit zone=z rate=10r/s window=sliding at=access;
          apiscale_limit zone=z rate=1r/s window=rolling at=upstream scale=0.5;
          apiscale_limit zone=z rate=2r/s count=4xx,500 at=arrival
              settle=$upstream_http_x_cost;
          apiscale_limit zone=z rate=3r/s burst=170 policy=d delay; }'],
    ['plans, declared later and in several zones',
     "apiscale_limit zone=z plan=\$arg_p default_plan=a;\n$Z"
     . "apiscale_limit_zone zone=y:1m;\n"
     . 'apiscale_plan a { } apiscale_plan b {
            limit m rate=1r/m burst=2; limit d rate=1r/d window=sliding; }',
     'location / { apiscale_limit zone=y plan=b default_plan=a; }'],
    ['parameters in any order',
     $Z, 'location / { apiscale_limit dry_run cost=$arg_c policy=p burst=2 '
         . 'rate=1r/s key=$arg_k zone=z; }'],
    ['a zone that is declared later',
     "apiscale_limit zone=z rate=1r/s;\n$Z", ''],
    ['as many policies as the smallest zone has room for',
     'apiscale_limit_zone zone=z:32k;',
     join "\n", map { "apiscale_limit zone=z rate=1r/s policy=p$_;" } 1 .. 16],
    ['the smallest zone', 'apiscale_limit_zone zone=z:32k;', ''],
    ['a zone that nothing uses', $Z, ''],
    ['no zone and no limit', '', 'apiscale_limit off;'],
    ['off at every level', "$Z apiscale_limit off;",
     'apiscale_limit off; location / { apiscale_limit off; }'],
    ['inherit with nothing to inherit', $Z,
     'location / { apiscale_limit inherit; }'],
    ['inherit before and after lines',
     "$Z apiscale_limit zone=z rate=1r/s;",
     'location /a { apiscale_limit inherit; apiscale_limit zone=z rate=2r/s; }
      location /b { apiscale_limit zone=z rate=2r/s; apiscale_limit inherit; }'
    ],
    ['the same policy in several places', $Z, join "\n", map {
        "location /$_ { apiscale_limit zone=z rate=10r/m burst=3 policy=p; }"
     } 1 .. 3],
    ['one policy name in two zones', "$Z apiscale_limit_zone zone=y:1m;",
     'apiscale_limit zone=z rate=1r/s policy=p;
      apiscale_limit zone=y rate=2r/s policy=p;'],
    ['equal rates in other words', $Z,
     'location /a { apiscale_limit zone=z rate=60r/60s burst=60 policy=p; }
      location /b { apiscale_limit zone=z rate=60r/m burst=60 policy=p; }'],
    ['a policy with another key elsewhere', $Z,
     'location /a { apiscale_limit zone=z rate=1r/s policy=p; }
      location /b { apiscale_limit zone=z rate=1r/s policy=p key=$uri; }'],
    (map { ["status $_", "apiscale_limit_status $_;", ''] }
         400, 429, 444, 503, 599),
    (map { ["log level $_", "apiscale_limit_log_level $_;", ''] }
         qw(info notice warn error)),
    (map { ["headers $_", "apiscale_limit_headers $_;", ''] }
         'off', 'x-ratelimit', 'x-ratelimit=epoch', 'x-ratelimit=delta',
         'ratelimit', 'x-ratelimit ratelimit', 'ratelimit x-ratelimit=delta'),
    (map { ["client_net $_", "apiscale_client_net $_;", ''] }
         '0 0', '24 48', '32 128'),
    (map { ["rate $_", "$Z apiscale_limit zone=z rate=$_;", ''] }
         qw(1r/s 1r/w 100r/m 1000r/15m 10000r/d 1000000r/s 1r/168h 3r/2w
            60000000r/m 1r/604800s)),
    ['the names of policies', $Z, 'apiscale_limit zone=z rate=1r/s '
        . "'policy=a b;c,d=e/?#~'; apiscale_limit zone=z rate=1r/s policy="
        . ('n' x 64) . ';'],
    ['the largest burst',
     "$Z apiscale_limit zone=z rate=1000000r/s burst=999999999999999;", ''],
    ['cost 0', "$Z apiscale_limit zone=z rate=1r/s cost=0;", ''],
    ['a cost above the burst', "$Z apiscale_limit zone=z rate=1r/s cost=9;",
     ''],
    ['the rate in all contexts',
     "$Z apiscale_limit zone=z rate=1r/s;",
     'apiscale_limit zone=z rate=1r/s; location / {
          apiscale_limit zone=z rate=1r/s;
          location /a { apiscale_limit zone=z rate=1r/s; } }'],
    ['settings in all contexts',
     $settings,
     "$settings location / { $settings location /a { $settings } }"],
);


my $long = 'x' x 65;
my $digits = '9' x 40;

# [what nginx says, http, config]; the bad line is the one with "# HERE"
my @bad = (

    # zones
    [qr/invalid number of arguments in "apiscale_limit_zone"/,
     'apiscale_limit_zone; # HERE'],
    [qr/invalid parameter "z:1m"/, 'apiscale_limit_zone z:1m; # HERE'],
    [qr/invalid parameter "size=1m"/,
     'apiscale_limit_zone zone=z:1m size=1m; # HERE'],
    [qr/duplicate parameter "zone=y:1m"/,
     'apiscale_limit_zone zone=z:1m zone=y:1m; # HERE'],
    [qr/invalid zone size "zone=z"/, 'apiscale_limit_zone zone=z; # HERE'],
    [qr/invalid zone size "zone=z:"/, 'apiscale_limit_zone zone=z:; # HERE'],
    [qr/invalid zone size "zone=:1m"/,
     'apiscale_limit_zone zone=:1m; # HERE'],
    [qr/invalid zone size "zone="/, 'apiscale_limit_zone zone=; # HERE'],
    [qr/invalid zone size "zone=z:big"/,
     'apiscale_limit_zone zone=z:big; # HERE'],
    [qr/invalid zone size "zone=z:-1m"/,
     'apiscale_limit_zone zone=z:-1m; # HERE'],
    [qr/invalid zone size "zone=z:${digits}g"/,
     "apiscale_limit_zone zone=z:${digits}g; # HERE"],
    [qr/zone "zone=z:31k" is too small/,
     'apiscale_limit_zone zone=z:31k; # HERE'],
    [qr/zone "zone=z:0" is too small/,
     'apiscale_limit_zone zone=z:0; # HERE'],
    [qr/duplicate zone "z"/, "$Z apiscale_limit_zone zone=z:1m; # HERE"],
    [qr/size 2097152 of shared memory zone "z" conflicts with already declared size 1048576/,
     "$Z apiscale_limit_zone zone=z:2m; # HERE"],
    [qr/shared memory zone "z" is already declared for a different use/,
     "limit_req_zone \$uri zone=z:1m rate=1r/s;
      apiscale_limit_zone zone=z:1m; # HERE"],
    [qr/"apiscale_limit_zone" directive is not allowed here/,
     '', 'apiscale_limit_zone zone=z:1m; # HERE'],
    [qr/"apiscale_limit_zone" directive is not allowed here/,
     '', "location / {\napiscale_limit_zone zone=z:1m; # HERE\n}"],
    [qr/zone "z" is too small for 17 policies/,
     "apiscale_limit_zone zone=z:32k;",
     (join "\n", map { "apiscale_limit zone=z rate=1r/s policy=p$_;" } 1 .. 17)
     . ' # HERE'],

    # apiscale_limit
    [qr/invalid number of arguments in "apiscale_limit"/,
     $Z, 'apiscale_limit; # HERE'],
    [qr/unknown apiscale_limit_zone "y"/,
     $Z, 'apiscale_limit zone=y rate=1r/s; # HERE'],
    [qr/unknown apiscale_limit_zone "z"/,
     'limit_req_zone $uri zone=z:1m rate=1r/s;',
     'apiscale_limit zone=z rate=1r/s; # HERE'],
    [qr/unknown apiscale_limit_zone "z:1m"/,
     $Z, 'apiscale_limit zone=z:1m rate=1r/s; # HERE'],
    [qr/empty "zone" parameter/, $Z, 'apiscale_limit zone= rate=1r/s; # HERE'],
    [qr/"apiscale_limit" must have "zone" parameter/,
     $Z, 'apiscale_limit rate=1r/s; # HERE'],
    [qr/"apiscale_limit" must have "rate" parameter/,
     $Z, 'apiscale_limit zone=z; # HERE'],
    [qr/invalid parameter "one"/,
     $Z, 'apiscale_limit zone=z rate=1r/s one; # HERE'],
    [qr/invalid parameter "limit=1"/,
     $Z, 'apiscale_limit zone=z rate=1r/s limit=1; # HERE'],
    [qr/invalid parameter "dry_run=on"/,
     $Z, 'apiscale_limit zone=z rate=1r/s dry_run=on; # HERE'],
    [qr/invalid parameter "nodelay"/,
     $Z, 'apiscale_limit zone=z rate=1r/s nodelay; # HERE'],
    [qr/invalid parameter ""/, $Z, 'apiscale_limit ""; # HERE'],
    (map { [qr/duplicate parameter "\Q$_\E"/, $Z,
            "apiscale_limit zone=z rate=1r/s key=\$uri burst=1 policy=p "
            . "cost=1 dry_run $_; # HERE"] }
         qw(zone=z rate=1r/s key=$uri burst=1 policy=p cost=1 dry_run)),
    [qr/invalid parameter "zone=z"/,
     $Z, 'apiscale_limit off zone=z; # HERE'],
    [qr/invalid parameter "zone=z"/,
     $Z, 'apiscale_limit inherit zone=z; # HERE'],
    [qr/invalid parameter "off"/,
     $Z, 'apiscale_limit zone=z rate=1r/s off; # HERE'],
    [qr/"apiscale_limit" directive is duplicate/,
     $Z, "apiscale_limit off;\napiscale_limit off; # HERE"],
    [qr/"apiscale_limit" directive is duplicate/,
     $Z, "apiscale_limit inherit;\napiscale_limit inherit; # HERE"],
    (map { [qr/"apiscale_limit off" cannot be used with other/, $Z, $_] }
        "apiscale_limit off;\napiscale_limit inherit; # HERE",
        "apiscale_limit inherit;\napiscale_limit off; # HERE",
        "apiscale_limit off;\napiscale_limit zone=z rate=1r/s; # HERE",
        "apiscale_limit zone=z rate=1r/s;\napiscale_limit off; # HERE"),
    [qr/"apiscale_limit" directive is not allowed here/,
     $Z, "location / {\nif (\$arg_a) {\napiscale_limit off; # HERE\n} }"],
    [qr/"apiscale_limit" directive is not allowed here/,
     "$Z upstream u {\napiscale_limit zone=z rate=1r/s; # HERE\n}"],
    [qr/"apiscale_limit" directive is not allowed here/,
     $Z, "if (\$arg_a) {\napiscale_limit off; # HERE\n}"],
    [qr/"apiscale_limit" directive is not allowed here/,
     $Z, "location / {\nlimit_except GET {\napiscale_limit off; # HERE\n} }"],
    [qr/duplicate policy "p" of zone "z"/, $Z,
     "apiscale_limit zone=z rate=1r/s policy=p;\n"
     . "apiscale_limit zone=z rate=1r/s policy=p; # HERE"],
    [qr{duplicate policy "1r/s" of zone "z"}, $Z,
     "apiscale_limit zone=z rate=1r/s;\n"
     . "apiscale_limit zone=z rate=1r/s key=\$uri; # HERE"],

    # rates
    (map { [qr{invalid rate "\Q$_\E": it must be a number}, $Z,
            "apiscale_limit zone=z rate=$_; # HERE"] }
         '', qw(r 1 1r 1r/ r/s -1r/s +1r/s 1r/y 1r/S 1r/ms 1R/s 1r/s1 1r/s/s
                1.5r/s 0x1r/s 1r/-1s 1r/1.5m x1r/s 1r//s 1rps $arg_r)),
    (map { [qr{invalid rate "\Q$_\E": it would admit nothing}, $Z,
            "apiscale_limit zone=z rate=$_; # HERE"] }
         qw(0r/s 1r/0s 0r/0s 00r/m)),
    (map { [qr{invalid rate "\Q$_\E": a number is too large}, $Z,
            "apiscale_limit zone=z rate=$_; # HERE"] }
         "${digits}r/s", "1r/${digits}s", '18446744073709551617r/s',
         '1r/18446744073709551617s', "1r/99999999999w"),
    (map { [qr{invalid rate "\Q$_\E": it must be from 1r/w to 1000000r/s}, $Z,
            "apiscale_limit zone=z rate=$_; # HERE"] }
         qw(1r/2w 1r/8d 1r/604801s 1000001r/s 60000001r/m)),

    # bursts
    (map { [qr{invalid burst value "\Q$_\E"}, $Z,
            "apiscale_limit zone=z rate=1r/s burst=$_; # HERE"] }
         '', qw(0 -1 +1 1.5 x 1x $arg_b 9223372036854775808),
         '18446744073709551617', $digits),
    [qr/a burst of 5271 at the rate "1r\/w" takes over 100 years to refill/,
     $Z, 'apiscale_limit zone=z rate=1r/w burst=5271; # HERE'],
    [qr/takes over 100 years to refill/,
     $Z, 'apiscale_limit zone=z rate=1r/s burst=999999999999999; # HERE'],

    # Integers of RFC 9651 have no more than 15 digits
    [qr/invalid burst value "1000000000000000"/,
     $Z, 'apiscale_limit zone=z rate=1000000r/s burst=1000000000000000; '
         . '# HERE'],

    # names, keys, costs
    (map { [qr{invalid policy name}, $Z,
            "apiscale_limit zone=z rate=1r/s 'policy=$_'; # HERE"] }
         '', 'a"b', 'a\\\\b', "a\tb", "a\x7fb", "caf\xc3\xa9", $long),
    [qr/empty "key" parameter/,
     $Z, 'apiscale_limit zone=z rate=1r/s key=; # HERE'],
    [qr/empty "key" parameter/,
     $Z, 'apiscale_limit zone=z rate=1r/s "key="; # HERE'],
    [qr/unknown "no_such" variable/,
     $Z, 'apiscale_limit zone=z rate=1r/s key=$no_such; # HERE', 'no line'],
    [qr/invalid variable name/,
     $Z, 'apiscale_limit zone=z rate=1r/s key=$; # HERE'],
    [qr/empty "cost" parameter/,
     $Z, 'apiscale_limit zone=z rate=1r/s cost=; # HERE'],
    (map { [qr{invalid cost value "\Q$_\E"}, $Z,
            "apiscale_limit zone=z rate=1r/s cost=$_; # HERE"] }
         qw(x -1 1.5 1x 99999999999999999999), $digits),

    # lines that disagree on a policy
    (map { [qr/policy "p" of zone "z" has another rate, burst or window elsewhere/,
            $Z, "apiscale_limit zone=z rate=10r/m burst=5 policy=p;\n"
                . "location / {\napiscale_limit zone=z $_ policy=p; # HERE\n}"
           ] }
         'rate=11r/m burst=5', 'rate=10r/h burst=5', 'rate=10r/m burst=6',
         'rate=10r/m', 'rate=1r/6s burst=5'),
    [qr/policy "p" of zone "z" has another rate, burst or window elsewhere/,
     "$Z server { listen 127.0.0.1:" . port(3) . ";
          apiscale_limit zone=z rate=10r/m policy=p; }",
     'apiscale_limit zone=z rate=20r/m policy=p; # HERE'],

    # the other directives
    [qr/value must be between 400 and 599/,
     'apiscale_limit_status 399; # HERE'],
    [qr/value must be between 400 and 599/,
     'apiscale_limit_status 600; # HERE'],
    (map { [qr/invalid number/,
            "apiscale_limit_status $_; # HERE"] } 'x', '-1', '4.29',
            "'429 '", $digits),
    [qr/invalid number of arguments in "apiscale_limit_status"/,
     'apiscale_limit_status 429 503; # HERE'],
    [qr/"apiscale_limit_status" directive is duplicate/,
     "apiscale_limit_status 429;\napiscale_limit_status 429; # HERE"],
    (map { [qr/invalid value "$_"/, "apiscale_limit_log_level $_; # HERE"] }
         qw(debug crit emerg errors 3)),
    [qr/"apiscale_limit_log_level" directive is duplicate/,
     "apiscale_limit_log_level info;\napiscale_limit_log_level info; # HERE"],
    (map { [qr/invalid value "$_" in "apiscale_limit_dry_run" directive, it must be "on" or "off"/,
            "apiscale_limit_dry_run $_; # HERE"] } qw(yes 1 ON_)),
    [qr/invalid number of arguments in "apiscale_limit_dry_run"/,
     'apiscale_limit_dry_run; # HERE'],
    [qr/"apiscale_limit_dry_run" directive is duplicate/,
     "apiscale_limit_dry_run on;\napiscale_limit_dry_run on; # HERE"],
    (map { my ($args, $bad) = @$_;
           [qr/invalid parameter "\Q$bad\E"/,
            "apiscale_limit_headers $args; # HERE"] }
         ['on', 'on'], ['x-ratelimit=unix', 'x-ratelimit=unix'],
         ['x-ratelimit=', 'x-ratelimit='], ['RateLimit', 'RateLimit'],
         ['off off', 'off'], ['off ratelimit', 'ratelimit'],
         ['ratelimit off', 'off'], ['x-ratelimit off', 'off'],
         ['ratelimit ratelimit', 'ratelimit'],
         ['x-ratelimit x-ratelimit', 'x-ratelimit'],
         ['x-ratelimit x-ratelimit=delta', 'x-ratelimit=delta'],
         ['x-ratelimit=delta x-ratelimit=epoch', 'x-ratelimit=epoch']),
    (map { [qr/invalid number of arguments in "apiscale_limit_headers"/,
            "apiscale_limit_headers $_; # HERE"] }
         '', 'x-ratelimit ratelimit off'),
    [qr/"apiscale_limit_headers" directive is duplicate/,
     "apiscale_limit_headers off;\napiscale_limit_headers off; # HERE"],
    (map { [qr/invalid IPv4 prefix length "\Q$_\E"/,
            "apiscale_client_net $_ 64; # HERE"] }
         '33', '-1', 'x', '/24', '24.0', $digits),
    (map { [qr/invalid IPv6 prefix length "\Q$_\E"/,
            "apiscale_client_net 32 $_; # HERE"] }
         '129', '-1', 'x', '/64', $digits),
    (map { [qr/invalid number of arguments in "apiscale_client_net"/,
            "apiscale_client_net $_; # HERE"] } '', '24', '24 48 64'),
    [qr/"apiscale_client_net" directive is duplicate/,
     "apiscale_client_net 24 48;\napiscale_client_net 24 48; # HERE"],
    [qr/invalid value "yes" in "apiscale_problem" directive/,
     'apiscale_problem yes; # HERE'],
    (map { [$_->[0], $Z . "apiscale_plan a { }\n",
            "apiscale_limit zone=z $_->[1]; # HERE"] }
        [qr/invalid window "hourly": it must be/, 'rate=1r/s window=hourly'],
        [qr/"burst" requires a rolling window/,
         'rate=1r/s window=fixed burst=2'],
        [qr/the period of the rate "600r\/600w" is too long/,
         'rate=600r/600w window=sliding'],
        [qr/invalid scale value "1.5"/, 'rate=1r/s scale=1.5'],
        [qr/invalid scale value "-1"/, 'rate=1r/s scale=-1'],
        [qr/invalid scale value ""/, 'rate=1r/s scale='],
        [qr/invalid settle value "3": it must have a variable/,
         'rate=1r/s settle=3'],
        [qr/invalid status "600" in "count" parameter/,
         'rate=1r/s count=401,600'],
        [qr/invalid status "" in "count" parameter/, 'rate=1r/s count=401,'],
        [qr/invalid status "4x1" in "count" parameter/,
         'rate=1r/s count=4x1'],
        [qr/invalid "at" value "log": it must be/, 'rate=1r/s at=log'],
        [qr/"delay" requires "burst" parameter/, 'rate=1r/s delay'],
        [qr/"delay" requires .* a rolling window/,
         'rate=1r/s window=fixed delay'],
        [qr/could hold a request for over 60 seconds/,
         'rate=1r/s burst=61 delay'],
        [qr/duplicate parameter "delay"/, 'rate=1r/s burst=6 delay delay'],
        [qr/"plan" requires "default_plan"/, 'plan=a'],
        [qr/"default_plan" requires "plan"/, 'rate=1r/s default_plan=a'],
        [qr/unknown apiscale_plan "b"/, 'plan=a default_plan=b'],
        [qr/empty "plan" parameter/, 'plan= default_plan=a'],
        [qr/"plan" cannot be used with "rate"/,
         'plan=a default_plan=a rate=1r/s'],
        [qr/"plan" cannot be used with "delay"/,
         'plan=a default_plan=a delay']),
    [qr/duplicate "plan" of zone "z"/, $Z . "apiscale_plan a { }\n",
     "apiscale_limit zone=z plan=a default_plan=a;\n"
     . "apiscale_limit zone=z plan=\$uri default_plan=a; # HERE"],
    (map { [$_->[0], "apiscale_plan p {\n$_->[1] # HERE\n}\n"] }
        [qr/"limit" must have "rate" parameter/, 'limit a burst=1;'],
        [qr/invalid number of arguments in "limit"/, 'limit a;'],
        [qr/duplicate parameter "rate=2r\/s"/,
         'limit a rate=1r/s rate=2r/s;'],
        [qr/invalid parameter "cost=2"/, 'limit a rate=1r/s cost=2;'],
        [qr/invalid rate "x"/, 'limit a rate=x;'],
        [qr/duplicate policy "a" of plan "p"/,
         "limit a rate=1r/s;\nlimit a rate=2r/s;"],
        [qr/unknown directive "rate"/, 'rate 1r/s;']),
    [qr/duplicate plan "p"/,
     "apiscale_plan p { }\napiscale_plan p { # HERE\n}"],
    [qr/"limit" directive is not allowed here/, "limit a rate=1r/s; # HERE"],
    [qr/"apiscale_plan" directive is not allowed here/, '',
     "apiscale_plan p { # HERE\n}"],
    [qr/invalid number of arguments in "apiscale_problem"/,
     'apiscale_problem; # HERE'],
    [qr/"apiscale_problem" directive is duplicate/,
     "apiscale_problem on;\napiscale_problem on; # HERE"],
    [qr/"apiscale_problem_base" directive is duplicate/,
     "apiscale_problem_base a;\napiscale_problem_base b; # HERE"],
    [qr/invalid number of arguments in "apiscale_problem_base"/,
     'apiscale_problem_base; # HERE'],
    (map { my $d = $_;
           map { [qr/"\Q$d->[0]\E" directive is not allowed here/, @$_] }
               ["upstream u {\n$d->[0] $d->[1]; # HERE\n}"],
               ['', "location / {\nif (\$arg_a) {\n"
                    . "$d->[0] $d->[1]; # HERE\n} }"]
         } ['apiscale_limit_status', 429],
           ['apiscale_limit_log_level', 'info'],
           ['apiscale_limit_dry_run', 'on'],
           ['apiscale_limit_headers', 'off'],
           ['apiscale_client_net', '24 48'],
           ['apiscale_problem', 'on'],
           ['apiscale_problem_base', 'https://example.com/']),
);

for my $case (@good) {
    my ($name, $http, $config) = @$case;
    my ($ok, $text) = $s->check(http => $http, config => $config);
    ok($ok, "good: $name") or diag($text);
    unlike($text, qr/\[(warn|error|emerg|alert|crit)\]/,
           "good: $name: nothing to complain of");
}

for my $case (@bad) {
    my ($like, $http, $config, $no_line) = @$case;
    $config //= '';
    (my $name = $http . $config) =~ s/^.*?([^\n;{]*)(; )?# HERE.*$/$1/s;
    $name = substr($name, 0, 70);

    my ($ok, $text, $status) = $s->check(http => "$http\n",
                                         config => "$config\n");
    ok(!$ok, "bad: $name: is refused");
    is($status >> 8, 1, "bad: $name: exits, does not crash");

    my ($line) = grep { /\[emerg\]/ } split /\n/, $text;
    like($line // $text, $like, "bad: $name: the reason");

    if (!$no_line) {
        my @lines = split /\n/, $s->text;
        my ($at) = grep { $lines[$_ - 1] =~ /# HERE/ } 1 .. @lines;
        like($line // $text, qr/ in \Q$s->{conf}\E:$at$/,
             "bad: $name: the file and line");
    }
}

# what is said of lines that are written in another file tells that file

$s->file('conf/limits.inc', "\n\napiscale_limit zone=none rate=1r/s;\n");
my ($ok, $text) = $s->check(http => $Z, config => 'include limits.inc;');
ok(!$ok, 'an included file');
like($text, qr/unknown apiscale_limit_zone "none" in \S+limits\.inc:3\n/,
     'an included file: its name and line');

$s->file('conf/limits.inc',
         "\napiscale_limit zone=z rate=1r/s policy=p;\n");
($ok, $text) = $s->check(http => $Z,
    config => 'location /a { apiscale_limit zone=z rate=2r/s policy=p; }
               location /b { include limits.inc; }');
like($text, qr/has another rate, burst or window elsewhere, in \S+limits\.inc:2\n/,
     'an included file that disagrees: its name and line');

done_testing();
