# Versions that are unknown, not named or gone: status, problem body, who may
# answer instead, and who is not refused

use strict;
use warnings;

use Test::More;
use JSON::PP;

use lib 't/lib';
use ApiscaleRaw;

my $s = ApiscaleRaw->new;

my $versions = '
    version 1 { deprecated 2020-01-01; successor 2; link /docs; }
    version 2 { }
    version 0 { deprecated 2019-01-01; sunset 2020-01-01T12:00:00+02:00;
                successor 1; link /docs; }
    version 00 { sunset 2020-01-01; }
';

$s->start(<<"END" . <<'END');
    apiscale_api main { prefix /api; default \$http_x_pin \$arg_pin; $versions }
    apiscale_api none { prefix /none; default none; $versions }
    apiscale_api unset { prefix /unset; $versions }
    apiscale_use_api main none unset;
END
    server {
        listen 127.0.0.1:PORT;
        location / { return 200 "$uri v=$apiscale_version"; }
        location = /api/vars {
            return 200 "$apiscale_version,$apiscale_version_source";
        }
        location /status { apiscale_status; }
    }

    server {
        listen 127.0.0.1:PORT1;
        apiscale_problem off;
        location / { return 200 "$uri"; }
    }

    server {
        listen 127.0.0.1:PORT2;
        apiscale_problem_base https://errors.example/;
        location / { return 200 "$uri"; }
    }

    server {
        listen 127.0.0.1:PORT3;
        error_page 404 /missing;
        error_page 410 @gone;
        error_page 400 =200 /bad;
        location / { return 200 "$uri"; }
        location = /missing { return 200 "own 404 $apiscale_version_source"; }
        location @gone {
            return 410 "own 410 $apiscale_version $apiscale_version_status";
        }
        location = /bad { return 200 "own 400"; }
    }

    server {
        listen 127.0.0.1:PORT4 http2;
        location / { return 200 "$uri v=$apiscale_version"; }
    }
END

my $json = JSON::PP->new->utf8;

sub problem {
    my ($path, @headers) = @_;
    my ($status, $header, $body) = $s->get($path, @headers);
    my $p = eval { $json->decode($body) };

    ok($p, "JSON: $path") or diag $body;
    like($header, qr{^Content-Type: application/problem\+json\r?$}m,
         "its type: $path");
    is($p->{status}, $status, "its status is the status: $path");
    like(delete $p->{instance}, qr/^urn:request:[0-9a-f]{32}$/,
         "its instance: $path");
    delete @$p{qw(title status)};

    return ($p, $status, $header);
}

sub on_port {
    my ($offset, $code) = @_;

    local $s->{port} = $s->{port} + $offset;
    $code->();
}

# unknown
{
    my ($p, $status, $header) = problem('/api/v3/x');

    is($status, 404, 'an unknown version in the path is not found');
    is_deeply($p, { code => 'version-unknown', supported => ['1', '2'],
                    detail => 'API "main" has no version "3".' },
              'its body');
    unlike($header, qr/^(?:Deprecation|Sunset|Link):/m, 'no header of a version');

    ($p, $status) = problem('/api/x', 'X-Pin: v1');
    is($status, 400, 'an unknown default is a bad request');
    is_deeply($p, { code => 'version-unknown', supported => ['1', '2'],
                    detail => 'API "main" has no version "v1".' }, 'its body');

    ($p) = problem('/api/v9"\\<script>' . "\xff\xc3\xa9/x");
    is($p->{detail}, qq{API "main" has no version "9"\\<script>\x{fffd}\xe9".},
       'what the client wrote is quoted');

    ($p) = problem('/api/v1%0d%0a%00'  =~ s/%00//r);
    is($p->{detail}, qq{API "main" has no version "1\r\n".}, 'controls too');

    ($p) = problem('/api/v' . '1' x 8000);
    is($p->{detail}, 'API "main" has no version "' . '1' x 32 . '...".',
       'and cut');
}

# not named
for my $path ('/none/x', '/unset/x', '/api/x', '/none', '/unset/V1/') {
    my ($p, $status) = problem($path);

    is($status, 400, "400: $path");
    is_deeply($p, { code => 'version-unspecified', supported => ['1', '2'],
                    detail => 'The URI does not name a version, and there '
                              . 'is no default.' }, "its body: $path");
}

is(scalar $s->get('/none/v2/x'), '/none/x v=2', 'one that is named is served');
is(scalar $s->get('/api/x?pin=2'), '/api/x v=2', 'the second default');

# gone
{
    my ($p, $status, $header) = problem('/api/v0/x?y');

    is($status, 410, 'a version after its sunset is gone');
    is_deeply($p, { code => 'version-sunset', version => '0',
                    sunset => '2020-01-01T10:00:00Z', successor => '1',
                    detail => 'Version "0" of API "main" ended at '
                              . '2020-01-01T10:00:00Z.' }, 'its body');
    like($header, qr/^Deprecation: \@1546300800\r$/m, 'deprecation');
    like($header, qr/^Sunset: Wed, 01 Jan 2020 10:00:00 GMT\r$/m, 'sunset');
    like($header, qr{^Link:\ </docs>;\ rel="deprecation";\ type="text/html",
                     \ </api/v1/x\?y>;\ rel="successor-version"\r?$}mx,
         'links');

    ($p) = problem('/api/v00/x');
    is_deeply($p, { code => 'version-sunset', version => '00',
                    sunset => '2020-01-01T00:00:00Z',
                    detail => 'Version "00" of API "main" ended at '
                              . '2020-01-01T00:00:00Z.' }, 'without successor');

    ($p, $status) = problem('/api/x', 'X-Pin: 0');
    is($status, 410, 'by default too');
}

# HEAD
for my $case (['/api/v3/x', 404], ['/api/x', 400], ['/api/v0/x', 410]) {
    my ($path, $expected) = @$case;
    my ($status, $header, $body) = $s->get("HEAD $path");

    is($status, $expected, "HEAD $path");
    like($header, qr/^Content-Length: [1-9]/m, "its length: HEAD $path");
    is($body, '', "no body: HEAD $path");
}

# other methods
for my $method (qw(POST PUT PATCH DELETE OPTIONS)) {
    my ($status) = $s->get("$method /api/v3/x", 'Content-Length: 0');
    is($status, 404, "$method of an unknown version");
}

# a CORS preflight is not refused
for my $case (
    ['/api/v3/x', '/api/v3/x v='], ['/api/x', '/api/x v='],
    ['/api/v0/x', '/api/x v=0'], ['/api/v1/x', '/api/x v=1'])
{
    my ($path, $body) = @$case;
    my @headers = ('Origin: https://app.example',
                   'Access-Control-Request-Method: PUT');

    is(scalar $s->get("OPTIONS $path", @headers), $body, "preflight: $path");
    is(scalar $s->get("OPTIONS $path", (map { "X-$_: $_" } 1 .. 30),
                      map { lc } @headers), $body,
       "preflight with many headers: $path");
}

for my $headers (
    ['OPTIONS', 'Origin: https://app.example'],
    ['OPTIONS', 'Access-Control-Request-Method: PUT'],
    ['OPTIONS', 'Origim: a', 'Access-Control-Request-Methox: PUT'],
    ['GET', 'Origin: a', 'Access-Control-Request-Method: PUT'])
{
    my ($method, @headers) = @$headers;
    my ($status) = $s->get("$method /api/v3/x", @headers);
    is($status, 404, "no preflight: $method @headers");
}

# apiscale_problem off
on_port(1, sub {
    for my $case (['/api/v3/x', 404], ['/api/x', 400], ['/api/v0/x', 410]) {
        my ($path, $expected) = @$case;
        my ($status, $header, $body) = $s->get($path);

        is($status, $expected, "nginx's own page: $path");
        like($header, qr{^Content-Type: text/html\r$}m, "its type: $path");
        like($body, qr/<html>.*$expected/s, "its body: $path");
    }

    my ($status, $header) = $s->get('/api/v0/x');
    like($header, qr/^Sunset: /m, 'the headers of a version are there');
});

# apiscale_problem_base
on_port(2, sub {
    my ($p) = problem('/api/v3/x');
    is($p->{type}, 'https://errors.example/version-unknown', 'the type');
});

# error_page wins
on_port(3, sub {
    is_deeply([($s->get('/api/v3/x'))[0, 2]], [404, 'own 404 path'],
              'error_page 404');
    is_deeply([($s->get('/api/v0/x'))[0, 2]], [410, 'own 410 0 sunset'],
              'error_page 410, a named location');
    is_deeply([($s->get('/api/x'))[0, 2]], [200, 'own 400'],
              'error_page 400 with another status');
    like(($s->get('/api/v0/x'))[1],
         qr{^Link: .*</api/v1/x>; rel="successor-version"\r?$}m,
         'the successor is of the URI that the client asked for');
});

# HTTP/2
SKIP: {
    my $version = `curl -V 2>/dev/null` // '';
    skip 'curl cannot HTTP/2', 4 if $version !~ /\bHTTP2\b/;

    my $url = 'http://127.0.0.1:' . ($s->{port} + 4);
    my $curl = "curl -s -i --max-time 10 --http2-prior-knowledge --path-as-is";

    my $got = `$curl '$url/api/v3/x'`;
    like($got, qr{^HTTP/2 404.*"code":"version-unknown"}s, 'HTTP/2: unknown');
    $got = `$curl '$url/api/v0/a%2Fb?c'`;
    like($got, qr{^HTTP/2 410.*\ndeprecation: \@1546300800\r}s,
         'HTTP/2: gone');
    like($got, qr{\nlink: .*</api/v1/a%2Fb\?c>; rel="successor-version"\r},
         'HTTP/2: the link');
    $got = `$curl '$url/api/v1/x'`;
    like($got, qr{^HTTP/2 200.*/api/x v=1$}s, 'HTTP/2: served');
}

# the section of the status page
{
    my $status = $json->decode(scalar $s->get('/status?format=json'));

    is(scalar @{$status->{versions}}, 3, 'a section with all APIs');
    is_deeply($status->{versions}[0],
        { api => 'main', prefix => '/api', versions => [
            { version => '1', status => 'deprecated',
              deprecated => '2020-01-01T00:00:00Z', successor => '2' },
            { version => '2', status => 'current' },
            { version => '0', status => 'sunset', successor => '1',
              deprecated => '2019-01-01T00:00:00Z',
              sunset => '2020-01-01T10:00:00Z' },
            { version => '00', status => 'sunset',
              sunset => '2020-01-01T00:00:00Z' } ] }, 'the first');

    my $text = $s->get('/status?format=prometheus');

    like($text, qr/^# TYPE apiscale_api_version_sunset_timestamp_seconds gauge$/m,
         'a family of Prometheus');
    is_deeply([$text =~ /^apiscale_api_version_sunset_timestamp_seconds(.*)/mg],
              [map { ("{api=\"$_\",version=\"0\"} 1577872800",
                      "{api=\"$_\",version=\"00\"} 1577836800") }
                   qw(main none unset)], 'its samples');
}

is($s->alerts, '', 'nothing is logged');

done_testing();
