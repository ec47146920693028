# Names that nobody would choose, in JSON and in labels.

use strict;
use warnings;

use Test::More;
use JSON::PP;

use ApiscaleServer;
use ApiscaleStatus qw(promtool);

my $S = ApiscaleServer->new;

# as written in the configuration, and as shown
my @names = (
    ['"/\"quoted\""', '/"quoted"'],
    ['"/back\\\\\\\\slash"', '/back\\\\slash'],
    ['"/a\nb"', "/a\nb"],
    ["\"/c\nd\"", "/c\nd"],
    ["\"/cr\rtab\t\"", "/cr\rtab\t"],
    ['"/\"><script>alert(1)</script>"', '/"><script>alert(1)</script>'],
    ["/\x{c3}\x{a9}", "/\x{e9}"],
    ["/bad\x{ff}\x{fe}", "/bad\x{fffd}\x{fffd}"],
    ["/cut\x{e2}\x{82}", "/cut\x{fffd}\x{fffd}"],
    ["/surrogate\x{ed}\x{a0}\x{80}", "/surrogate\x{fffd}\x{fffd}\x{fffd}"],
    ["/del\x{7f}\x{1}", "/del\x{7f}\x{1}"],
    ['"/{}"', '/{}'],
    ["/nul\x{0}x", "/nul\x{fffd}x"],
    ['~ "\.(js|css)\"$"', '~ \.(js|css)"$'],
    ['/' . 'x' x 3900, '/' . 'x' x 3900],
);

my $conf = join '', map { "location $_->[0] { return 204; }\n" } @names;

$S->start(<<"END");
apiscale_metrics_zone zone=m"\\"<z>:4m;
server {
    listen 127.0.0.1:PORT;
    server_name evil"name<\x{ff}>.test;
    apiscale_metrics on;
    $conf
    # differs in invalid bytes alone: one series, not one label twice
    location /bad\x{c0}\x{c1} { return 204; }
    location = /status { apiscale_status; }
}
END

$S->get("/bad%ff%fe");
$S->get("/bad%c0%c1");

my $json = $S->get('/status');
my $s = eval { JSON::PP->new->utf8->decode($json) };
ok(defined $s, 'JSON is valid') or diag $@;
unlike($json, qr/[<>\x00-\x09\x0b-\x1f\x7f]/, 'no markup, no control bytes');

my %total = map { ($_->{location} => $_->{requests}{total}) }
            @{$s->{locations}};
for (@names) {
    ok(exists $total{$_->[1]}, 'JSON: ' . substr $_->[0], 0, 40)
        or diag join "\n", map { JSON::PP->new->ascii->allow_nonref
                                 ->encode($_) } sort keys %total;
}
is($total{"/bad\x{fffd}\x{fffd}"}, 2, 'names that look alike are one series');
is($s->{locations}[0]{server}, "evil\"name<\x{fffd}>.test", 'server');
is($s->{zones}[0]{zone}, 'm""<z>', 'zone');

my $text = $S->get('/status?format=prometheus');
is(promtool($text), '', 'promtool');

ok(utf8::decode($text), 'labels are UTF-8');
my %label = map { $_ => 1 } $text =~
    /^apiscale_http_requests_aborted_total\{server="(?:[^\\"]|\\.)*",
      location="((?:[^\\"]|\\.)*)"\}\ \d+$/mgx;
for (@names) {
    (my $want = $_->[1]) =~ s/([\\"])/\\$1/g;
    $want =~ s/\n/\\n/g;
    ok($label{$want}, 'label: ' . substr $_->[0], 0, 40);
}
my %seen;
my @twice = grep { /^[^#]/ && $seen{$_}++ } $text =~ /^(\S+\{.*\}) \S+$/mg;
is_deeply(\@twice, [], 'no labels appear twice');

is($S->alerts, '', 'nothing bad in the log');
$S->stop;

done_testing();
