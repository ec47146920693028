# $apiscale_uri, bad URIs, and what a proxied server gets

use strict;
use warnings;

use Test::More;

use lib 't/lib';
use ApiscaleRaw;

my $s = ApiscaleRaw->new;

my $versions = '
    version 1 { }
    version 2 { }
';

$s->start(<<"END" . <<'END');
    apiscale_api main { prefix /api; default 2; $versions }
    apiscale_api root { default 2; $versions }
    apiscale_api path { prefix /path; default 2; rewrite path; $versions }
    apiscale_api rootpath { default 2; rewrite path; $versions }
    apiscale_api kept { prefix /off; default 2; rewrite off; $versions }
END
    log_format uri '$request_uri $uri';

    server {
        listen 127.0.0.1:PORT;
        apiscale_use_api main path kept;
        large_client_header_buffers 4 32k;

        location / { return 200 "$apiscale_uri"; }
        location /api/plain { proxy_pass http://127.0.0.1:PORT1; }
        location /api/slash/ { proxy_pass http://127.0.0.1:PORT1/; }
        location /api/base { proxy_pass http://127.0.0.1:PORT1/base; }
        location /api/exact { proxy_pass http://127.0.0.1:PORT1$apiscale_uri; }
        location /api/version {
            proxy_pass http://127.0.0.1:PORT1;
            proxy_set_header X-Version $apiscale_version;
        }
        location /api/rewritten {
            rewrite ^ /api/plain/new break;
            proxy_pass http://127.0.0.1:PORT1;
        }
        location /path { proxy_pass http://127.0.0.1:PORT1; }
        location /off { proxy_pass http://127.0.0.1:PORT1; }
        location /api/request { return 200 "$request_uri $uri $is_args$args"; }
        location /api/later {
            rewrite ^ /api/later2?new=args last;
        }
        location /api/later2 { return 200 "$apiscale_uri"; }
    }

    server {
        listen 127.0.0.1:PORT1;
        merge_slashes off;
        large_client_header_buffers 4 32k;
        location / { return 200 "$request_uri"; }
        location /api/version { return 200 "$request_uri $http_x_version"; }
    }

    server {
        listen 127.0.0.1:PORT2;
        merge_slashes off;
        apiscale_use_api main root;
        location / { return 200 "$uri $apiscale_uri"; }
    }

    server {
        listen 127.0.0.1:PORT3;
        apiscale_use_api root;
        location / { return 200 "$apiscale_uri"; }
    }

    server {
        listen 127.0.0.1:PORT4;
        apiscale_use_api rootpath;
        location / { return 200 "$uri $apiscale_uri"; }
    }
END

sub body_is {
    my ($path, $body, $name) = @_;

    is(scalar $s->get($path), $body, $name // "GET $path");
}

# $apiscale_uri
for my $case (
    ['/api/v1/users/7?x=%3C', '/api/users/7?x=%3C'],
    ['/api/v1', '/api'],
    ['/api/v1/', '/api/'],
    ['/api/v1?', '/api?'],
    ['/api/v1/a%2Fb//c%20', '/api/a%2Fb//c%20'],
    ['//api//v1//x', '//api///x'],
    ['/%61pi/%761/%78', '/%61pi/%78'],
    ['/api/v1/../v2/x%20y?q', '/api/x%20y?q'],
    ['/api/v1/%2e%2e/v2/%3f', '/api/%3F'],
    ['/api/v1%2Fx', '/api/x'],
    ['/api/v1/x#y', '/api/x'],
    ['/api//v1', '/api'],
    ['/api/users%2F?a', '/api/users%2F?a'],
    ['/else/v1/%41?b', '/else/v1/%41?b'],
    ['/api/later?old=%20', '/api/later?old=%20'],
    ['/api/v1/later?old=%20', '/api/later?old=%20'],
    ['http://localhost/api/v1/%41', '/api/%41'])
{
    body_is(@$case);
}

# what the location and the log know
body_is('/api/v1/request/%41?b=%42',
        '/api/v1/request/%41?b=%42 /api/request/A ?b=%42');

# proxy_pass
for my $case (
    ['/api/v1/plain/a?b=c%20', '/api/plain/a?b=c%20'],
    ['/api/v1/plain/a%20b%3Fc%25?d', '/api/plain/a%20b%3Fc%25?d'],
    ['/api/v1/plain//x/../y', '/api/plain/y'],
    ['/api/plain/a%2Fb//c', '/api/plain/a%2Fb//c'],
    ['/api/v1/slash/a%20b?c', '/a%20b?c'],
    ['/api/slash/a', '/a'],
    ['/api/v1/base/x', '/base/x'],
    ['/api/v1/exact/a%2Fb//c%20?d=%2F', '/api/exact/a%2Fb//c%20?d=%2F'],
    ['/api/exact/a%2Fb', '/api/exact/a%2Fb'],
    ['/api/v1/rewritten?a=b', '/api/plain/new?a=b'],
    ['/api/v1/version/x', '/api/version/x 1'],
    ['/api/version/x', '/api/version/x 2'],
    ['/path/v1/a%2Fb', '/path/v1/a%2Fb'],
    ['/path/a%20b?c', '/path/v2/a%20b?c'],
    ['/off/v1/a%2Fb?c', '/off/v1/a%2Fb?c'],
    ['/off/a%2Fb?c', '/off/a%2Fb?c'])
{
    body_is(@$case[0, 1], "proxied: $case->[0]");
}

# merge_slashes off
{
    local $s->{port} = $s->{port} + 2;

    for my $case (
        ['/api/v1//x%2F/y', '/api//x//y /api//x%2F/y'],
        ['/api//v1/x', '/api//v1/x /api//v1/x'],
        ['/v1//host/x', '//host/x /host/x'],
        ['/v1/x', '/x /x'],
        ['//v1/x', '//v1/x //v1/x'])
    {
        body_is(@$case[0, 1], "merge_slashes off: $case->[0]");
    }
}

# prefix "/"
{
    local $s->{port} = $s->{port} + 3;

    for my $case (
        ['/v1', '/'], ['/v1/', '/'], ['/v1?x', '/?x'], ['/v1/v1/', '/v1/'],
        ['/v1/a%2Fb', '/a%2Fb'], ['/v1//host/x', '/host/x'], ['/x', '/x'],
        ['http://localhost', '/'], ['http://localhost?x', '/?x'])
    {
        body_is(@$case[0, 1], "prefix /: $case->[0]");
    }
}

# prefix "/", rewrite path
{
    local $s->{port} = $s->{port} + 4;

    for my $case (
        ['/v1/users', '/v1/users /users'], ['/users', '/v2/users /users'],
        ['/', '/v2/ /'], ['/v1', '/v1 /'], ['/a%20b', '/v2/a b /a%20b'])
    {
        body_is(@$case[0, 1], "prefix /, rewrite path: $case->[0]");
    }
}

# bad ones: always an answer, and a right one
for my $case (
    ['/api/v1', 200], ['/api/v1/', 200], ['//api//v1//x', 200],
    ['/api/v1/../v2/x', 200], ['/api/V1/', 200], ['/api/v1%2Fusers', 200],
    ['/api/v01/', 404], ['/api/v1.0', 404], ['/api/v1beta', 404],
    ['/api/v3', 404], ['/api/v99999999999999999999/', 404],
    ['/api/v1%00/x', 400], ['/api/v1%0d%0ax: y/x', 400],
    ['/api/v1%0d%0ax:y/x', 404], ['/api/v1%20/x', 404], ['/api/v1%zz', 400],
    ['/api/v1%', 400], ['/api/../v1', 200], ['/../api/v1', 400],
    ['/api/v1/../../../x', 400], ["/api/v1\x01/x", 400],
    ["/api/v1\xff", 404], ['/api/v1;x', 404], ['/api/v1,2/x', 404],
    ['/api/v' . ('1' x 8192) . '/x', 404],
    ['/api/v1' . ('%41' x 8192) . '/x', 404],
    ['/api/v1/' . ('%41' x 8192), 200],
    ['/api/v1' . ('/.' x 4096), 200],
    ['/api' . ('/' x 8192) . 'v1/x', 200])
{
    my ($path, $expected) = @$case;
    my ($status, $header, $body) = $s->get($path);
    my $shown = length $path > 40 ? substr($path, 0, 40) . '..' : $path;

    is($status, $expected, "status of $shown");
    unlike($header // '', qr/^x: ?y/m, "no header of the client's, $shown");
    cmp_ok(length($body), '<', 33000, "a body of some size, $shown");
}

is($s->alerts, '', 'nothing is logged');

done_testing();
