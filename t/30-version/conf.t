# What "nginx -t" says of the directives of versions: what is good passes
# without a warning, what is bad is refused with its reason, file and line.

use strict;
use warnings;

use Test::More;

use lib 't/lib';
use ApiscaleRaw;

my $s = ApiscaleRaw->new;

my $name64 = 'n' x 64;

# [name, what stands in http]
my @good = (
    ['a version alone', 'apiscale_api a { version 1 { } }'],
    ['everything',
     'apiscale_api a { prefix /api; source path; default $http_x 1;
      rewrite strip; version 1 { deprecated 2026-01-01; sunset 2026-12-31;
      successor 2; link https://example.com/; after_sunset gone; }
      version 2 { } } apiscale_use_api a;'],
    ['everything in another order',
     'apiscale_use_api a; apiscale_api a { version 1 { after_sunset gone;
      link /doc; successor 2; sunset 2026-12-31T00:00:00Z;
      deprecated 2026-12-31; } rewrite path; default none; source path;
      version 2 { } prefix /; }'],
    (map { ["prefix $_", "apiscale_api a { prefix $_; version 1 { } }"] }
         '/', '/api', '/api/', '/a/b/c', '/a.b', '/..a', '/a..', '/.well',
         "/\xc3\xa9"),
    (map { ["version $_", "apiscale_api a { version $_ { } }"] }
         '1', '01', '1.0', '2026-06-30', 'latest', 'A_b-c.', $name64),
    (map { ["api $_", "apiscale_api $_ { version 1 { } }"] }
         'a', 'A.b_c-1', 'none', $name64),
    (map { ["date $_",
            "apiscale_api a { version 1 { deprecated $_; sunset $_; } }"] }
         '1970-01-01', '9999-12-31', '2024-02-29', '2026-06-30T23:59:59Z',
         '2026-06-30t23:59:59z', '2026-06-30T23:59:59.123+05:30',
         '2016-12-31T23:59:60Z'),
    (map { ["link $_", "apiscale_api a { version 1 { link \"$_\"; } }"] }
         '/', 'https://example.com/a?b=c;d#e', 'HTTP://a/%20', '/a,b'),
    ['a default that is declared later',
     'apiscale_api a { default 1; version 1 { } }'],
    ['a chain of successors',
     'apiscale_api a { version 1 { successor 2; } version 2 { successor 3; }
      version 0 { successor 1; } version 3 { } }'],
    ['256 versions',
     'apiscale_api a { ' . (join ' ', map { "version $_ { }" } 1 .. 256)
     . ' }'],
    ['two APIs of one prefix in two servers',
     'apiscale_api a { version 1 { } } apiscale_api b { version 1 { } }
      server { server_name a; apiscale_use_api a; }
      server { server_name b; apiscale_use_api b; }'],
    ['off in http and in a server',
     'apiscale_use_api off; server { apiscale_use_api off; }'],
    ['an API that is not used', 'apiscale_api a { version 1 { } } server { }'],
    ['an API without any server',
     'apiscale_api a { version 1 { } } apiscale_use_api a;'],
    ['the directives of others with the same names',
     'apiscale_api a { rewrite off; version 1 { } }
      map $uri $m { default 1; } split_clients $uri $s { * 1; }
      server { rewrite ^ /x break; location / { rewrite ^ /y; } }'],
);

my $long = 'n' x 65;

# [what nginx says, what stands in http]; the bad line is the one with "# HERE"
my @bad = (

    # apiscale_api
    [qr/invalid number of arguments in "apiscale_api"/,
     "apiscale_api { # HERE\n version 1 { } }"],
    [qr/invalid number of arguments in "apiscale_api"/,
     "apiscale_api a b { # HERE\n version 1 { } }"],
    [qr/directive "apiscale_api" has no opening "\{"/,
     'apiscale_api a; # HERE'],
    [qr/duplicate apiscale_api "a"/,
     "apiscale_api a { version 1 { } }\napiscale_api a { # HERE\n version 1 { } }"],
    [qr/no versions are inside apiscale_api "a"/,
     "apiscale_api a {\n } # HERE"],
    (map { [qr/invalid name "\Q$_\E"/,
            "apiscale_api \"$_\" { # HERE\n version 1 { } }"] }
         '', 'off', 'a b', 'a/b', 'a:b', "a\xc3\xa9", "a'b", '$a', $long),
    [qr/"apiscale_api" directive is not allowed here/,
     "server {\n apiscale_api a { # HERE\n version 1 { } } }"],
    [qr/"apiscale_api" directive is not allowed here/,
     "server { location / {\n apiscale_api a { # HERE\n version 1 { } } } }"],
    [qr/"apiscale_api" directive is not allowed here/,
     "apiscale_api a {\n apiscale_api b { # HERE\n version 1 { } } }"],
    [qr/"server" directive is not allowed here/, 'apiscale_api a { version 1 {'],

    # directives where they do not belong
    (map { [qr/"\Q$_\E" directive is not allowed here/,
            "apiscale_api a { version 1 { }\n$_ /a; # HERE\n}"] }
         qw(deprecated sunset successor link after_sunset apiscale_use_api
            root alias access_log user pid error_log load_module)),
    (map { [qr/"\Q$_\E" directive is not allowed here/,
            "apiscale_api a { version 1 {\n$_ 1; # HERE\n} }"] }
         qw(prefix source default rewrite apiscale_use_api root set return
            worker_processes)),
    (map { [qr/"\Q$_\E" directive is not allowed here/,
            "apiscale_api a { version 1 {\n$_ 1 { # HERE\n} } }"] }
         qw(version apiscale_api server location http events upstream)),
    (map { [qr/"\Q$_\E" directive is not allowed here/,
            "apiscale_api a {\n$_ / { # HERE\n} }"] }
         qw(server location http events upstream map types if)),
    (map { [qr/"\Q$_\E" directive is not allowed here/, "$_ 1; # HERE"],
           [qr/"\Q$_\E" directive is not allowed here/,
            "server {\n$_ 1; # HERE\n}"] }
         qw(prefix source deprecated sunset successor link after_sunset)),
    [qr/"version" directive is not allowed here/, "version 1 { # HERE\n}"],
    [qr/unknown directive "nonsense"/,
     "apiscale_api a {\nnonsense; # HERE\n}"],
    [qr/unknown directive "released"/,
     "apiscale_api a { version 1 {\nreleased 2026-01-01; # HERE\n} }"],

    # duplicates and counts of arguments
    (map { my ($name, $value) = split / /, $_, 2;
           [qr/"$name" directive is duplicate/,
            "apiscale_api a { version 1 { }\n$_;\n$_; # HERE\n}"],
           [qr/invalid number of arguments in "$name" directive/,
            "apiscale_api a { version 1 { }\n$name; # HERE\n}"] }
         'prefix /a', 'source path', 'default 1', 'default none',
         'rewrite off'),
    (map { my ($name, $value) = split / /, $_, 2;
           [qr/"$name" directive is duplicate/,
            "apiscale_api a { version 1 {\n$_;\n$_; # HERE\n} }"],
           [qr/invalid number of arguments in "$name" directive/,
            "apiscale_api a { version 1 {\n$name; # HERE\n} }"],
           [qr/invalid number of arguments in "$name" directive/,
            "apiscale_api a { version 1 {\n$_ x; # HERE\n} }"] }
         'deprecated 2026-01-01', 'sunset 2026-01-01', 'successor 1',
         'link /x', 'after_sunset gone'),
    (map { [qr/invalid number of arguments in "\w+" directive/,
            "apiscale_api a { version 1 { }\n$_; # HERE\n}"] }
         'prefix /a /b', 'rewrite strip path'),

    # prefix, source, rewrite, default
    (map { [qr/invalid prefix "\Q$_\E"/,
            "apiscale_api a {\nprefix \"$_\"; # HERE\nversion 1 { } }"] }
         '', 'api', '//', '/a//b', '/a//', '/.', '/..', '/a/./b', '/a/../b',
         '/a/..', '/a/.', '/a?b', '/a#b', '/a%20b', '/a b', "/a\x01",
         "/a\x7f", 'http://a/'),
    [qr/unknown source "uri"/,
     "apiscale_api a {\nsource uri; # HERE\nversion 1 { } }"],
    [qr/unknown source "header"/,
     "apiscale_api a {\nsource header API-Version; # HERE\nversion 1 { } }"],
    [qr/invalid parameter "x"/,
     "apiscale_api a {\nsource path x; # HERE\nversion 1 { } }"],
    [qr/invalid value "on"/,
     "apiscale_api a {\nrewrite on; # HERE\nversion 1 { } }"],
    [qr/unknown default version "2" of apiscale_api "a"/,
     "apiscale_api a {\ndefault 2; # HERE\nversion 1 { } }"],
    [qr/unknown default version "v1" of apiscale_api "a"/,
     "apiscale_api a {\ndefault \$http_x v1; # HERE\nversion 1 { } }"],
    [qr/invalid parameter "none"/,
     "apiscale_api a {\ndefault \$http_x none; # HERE\nversion 1 { } }"],
    [qr/invalid parameter "none"/,
     "apiscale_api a {\ndefault none 1; # HERE\nversion 1 { } }"],
    [qr/invalid parameter ""/,
     "apiscale_api a {\ndefault \"\"; # HERE\nversion 1 { } }"],
    [qr/unknown "nonsense" variable/,
     "apiscale_api a {\ndefault \$nonsense;\nversion 1 { } }"],
    [qr/invalid variable name/,
     "apiscale_api a {\ndefault \$; # HERE\nversion 1 { } }"],

    # version
    [qr/invalid number of arguments in "version"/,
     "apiscale_api a {\nversion { # HERE\n} }"],
    [qr/invalid number of arguments in "version"/,
     "apiscale_api a {\nversion 1 2 { # HERE\n} }"],
    [qr/directive "version" has no opening "\{"/,
     "apiscale_api a {\nversion 1; # HERE\n}"],
    [qr/duplicate version "1"/,
     "apiscale_api a { version 1 { }\nversion 1 { # HERE\n} }"],
    (map { [qr/invalid name "\Q$_\E"/,
            "apiscale_api a {\nversion \"$_\" { # HERE\n} }"] }
         '', 'none', 'a b', '1/2', '1%20', '$arg_v', "1\x01", $long),
    [qr/too many versions in apiscale_api "a", at most 256/,
     'apiscale_api a { ' . (join ' ', map { "version $_ { }" } 1 .. 256)
     . "\nversion 257 { # HERE\n} }"],

    # dates
    (map { my $d = $_;
           map { [qr/invalid date "\Q$d\E" in "$_" directive: it is malformed/,
                  "apiscale_api a { version 1 {\n$_ \"$d\"; # HERE\n} }"] }
               qw(deprecated sunset) }
         '', 'now', '2026', '2026-1-1', '26-01-01', '2026-01-01T00:00',
         '2026-01-01 00:00:00Z', '2026-01-01T00:00:00', '01/02/2026',
         'Wed, 01 Jan 2026 00:00:00 GMT', '@1767225600', '1767225600',
         '2026-01-01x', "2026-01-01\x01", '2' x 700),
    (map { [qr/invalid date "\Q$_\E" in "sunset" directive: it is impossible/,
            "apiscale_api a { version 1 {\nsunset $_; # HERE\n} }"] }
         '2026-02-30', '2026-02-29', '2100-02-29', '2026-13-01', '2026-00-01',
         '2026-04-31', '2026-01-00', '2026-01-01T24:00:00Z',
         '2026-01-01T00:60:00Z', '2026-01-01T00:00:60Z',
         '2026-01-01T00:00:00+24:00'),
    (map { [qr/invalid date "\Q$_\E" in "sunset" directive: it is out of range/,
            "apiscale_api a { version 1 {\nsunset $_; # HERE\n} }"] }
         '1969-12-31', '0000-01-01', '1970-01-01T00:00:00+00:01',
         '9999-12-31T23:59:59-00:01'),
    [qr/"sunset" of version "1" is before its "deprecated"/,
     "apiscale_api a { version 1 {\ndeprecated 2026-01-02;\n"
     . "sunset 2026-01-01; # HERE\n} }"],
    [qr/"sunset" of version "1" is before its "deprecated"/,
     "apiscale_api a { version 1 {\nsunset 2026-01-01;\n"
     . "deprecated 2026-01-01T00:00:01Z; # HERE\n} }"],

    # successor, link, after_sunset
    [qr/unknown successor "2" of version "1"/,
     "apiscale_api a { version 1 {\nsuccessor 2; # HERE\n} }"],
    [qr/unknown successor "2" of version "1"/,
     "apiscale_api b { version 2 { } }\n"
     . "apiscale_api a { version 1 {\nsuccessor 2; # HERE\n} }"],
    [qr/unknown successor "" of version "1"/,
     "apiscale_api a { version 1 {\nsuccessor \"\"; # HERE\n} }"],
    [qr/version "1" is its own successor/,
     "apiscale_api a { version 1 {\nsuccessor 1; # HERE\n} }"],
    [qr/version "2" is its own successor, by way of "3"/,
     "apiscale_api a { version 1 { successor 2; }\nversion 2 {\n"
     . "successor 3; # HERE\n}\nversion 3 { successor 2; } }"],
    (map { [qr/invalid URL "\Q$_\E"/,
            "apiscale_api a { version 1 {\nlink '$_'; # HERE\n} }"] }
         '', 'docs', 'ftp://a/', 'javascript:x', '/a b', '/a"b', '/a>b',
         "/a\x01b", "/\xc3\xa9", '/a{b}', "/a\x7f"),
    (map { [qr/invalid value "$_"/,
            "apiscale_api a { version 1 {\nafter_sunset $_; # HERE\n} }"] }
         qw(serve redirect off)),

    # apiscale_use_api
    [qr/invalid number of arguments in "apiscale_use_api"/,
     'apiscale_use_api; # HERE'],
    [qr/unknown apiscale_api "x"/, 'apiscale_use_api x; # HERE', 'server'],
    [qr/unknown apiscale_api "x"/, "server {\napiscale_use_api x; # HERE\n}"],
    [qr/unknown apiscale_api "x"/,
     "apiscale_use_api x; # HERE\napiscale_api a { version 1 { } }\n"
     . "server { apiscale_use_api a; }"],
    [qr/unknown apiscale_api "A"/,
     "apiscale_api a { version 1 { } }\nserver {\n"
     . "apiscale_use_api A; # HERE\n}"],
    [qr/duplicate apiscale_api "a"/,
     "apiscale_api a { version 1 { } }\nserver {\n"
     . "apiscale_use_api a a; # HERE\n}"],
    [qr/apiscale_api "a" and "b" have the same prefix/,
     "apiscale_api a { prefix /x; version 1 { } }\n"
     . "apiscale_api b { prefix /x/; version 1 { } }\nserver {\n"
     . "apiscale_use_api a b; # HERE\n}"],
    [qr/"apiscale_use_api" directive is duplicate/,
     "apiscale_api a { version 1 { } }\napiscale_use_api a;\n"
     . "apiscale_use_api a; # HERE"],
    [qr/"apiscale_use_api" directive is duplicate/,
     "apiscale_use_api off;\napiscale_use_api off; # HERE"],
    (map { [qr/invalid parameter "off"/,
            "apiscale_api a { version 1 { } }\napiscale_use_api $_; # HERE"] }
         'a off', 'off off'),
    [qr/invalid parameter ""/, 'apiscale_use_api ""; # HERE'],
    [qr/"apiscale_use_api" directive is not allowed here/,
     "server { location / {\napiscale_use_api off; # HERE\n} }"],
    [qr/"apiscale_use_api" directive is not allowed here/,
     "upstream u {\napiscale_use_api off; # HERE\n}"],
);

for my $case (@good) {
    my ($name, $http) = @$case;
    my $said = $s->test_conf("$http\nserver { listen PORT; }");

    like($said, qr/test is successful/, $name);
    unlike($said, qr/\[(?:warn|emerg|alert|crit)\]|killed by/, "$name: no word");
}

for my $case (@bad) {
    my ($reason, $http) = @$case;
    my $said = $s->test_conf("$http\nserver { listen PORT; }");
    my ($line, $n) = (0, 0);

    open(my $in, '<', $s->root . "/conf/nginx.conf") or die $!;
    while (<$in>) {
        $n++;
        $line = $n if /# HERE/;
    }

    my $where = $line ? qr{ in \Q@{[$s->root]}\E/conf/nginx\.conf:$line\b} : qr//;
    (my $name = substr $http, 0, 60) =~ s/[^ -~]/ /g;

    like($said, qr/$reason.*$where/, "refused: $name");
    like($said, qr/test failed/, "with a message: $name");
    unlike($said, qr/killed by|Sanitizer|runtime error/,
           "and alive: $name");
}

# a word of advice
{
    my $said = $s->test_conf("apiscale_api a { version v1 { } }\n"
                             . "server { listen PORT; }");

    like($said, qr/\[warn\].* version "v1" is "vv1" in a URI/, 'v1 is vv1');
    like($said, qr/test is successful/, 'but allowed');
}

# whatever stands there: an answer, and no crash
{
    my @names = qw(apiscale_api apiscale_use_api prefix source default rewrite
                   version deprecated sunset successor link after_sunset);
    my @words = ('', 'a', '1', '/', '/a', 'none', 'off', 'path', '2026-01-01',
                 '9' x 300, '$uri', '${', '$', '"', "'x", "\\", '%00', '..',
                 "\xff\xfe", 'x' x 5000, '1;', '{', '}', 'gone', '@1');
    my $crashes = '';

    srand 20261124;

    my @frames = ('%s', 'apiscale_api a { %s }',
                  'apiscale_api a { version 1 { %s } }');

    for my $name (@names) {
        for my $n (0 .. 6) {
            my $args = join ' ', map { $words[rand @words] } 1 .. $n;
            my $end = rand() < 0.8 ? ';' : ' { }';
            my $http = sprintf $frames[rand @frames], "$name $args$end";
            my $said = $s->test_conf("$http\nserver { listen PORT; }");

            if ($said !~ /test (?:failed|is successful)/
                || $said =~ /killed by|Sanitizer|runtime error/)
            {
                $crashes .= "$http: $said\n";
            }
        }
    }

    is($crashes, '', 'no crash for any input');
}

done_testing();
