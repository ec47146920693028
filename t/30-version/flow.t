# A version is decided once, whatever way the request takes in nginx.

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

no_root_location();

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

our $Api = <<'_EOC_';
    apiscale_api main {
        prefix /api;
        default 2;
        version 1 { deprecated 2020-01-01; successor 2; }
        version 2 { }
    }
    apiscale_use_api main;
_EOC_

our $Auth = $Api . <<'_EOC_';
    server {
        listen unix:$TEST_NGINX_HTML_DIR/auth.sock;
        location / {
            return 200 "";
            add_header X-Seen "$request_uri $http_x_version";
        }
    }
_EOC_

run_tests();

__DATA__

=== TEST 1: an internal redirect: nothing is decided or stripped twice
--- http_config eval: $::Api
--- config
    location / { return 200 "$uri v=$apiscale_version by=$apiscale_version_source\n"; }
    location /api/x { error_page 418 = /api/v2/v2/y; return 418; }
--- request
GET /api/v1/x
--- response_body
/api/v2/v2/y v=1 by=path
--- response_headers
Deprecation: @1577836800
Link: </api/v2/x>; rel="successor-version"



=== TEST 2: a stripped URI that looks versioned is not stripped again
--- http_config eval: $::Api
--- config
    location / { return 200 "$uri v=$apiscale_version\n"; }
    location /api/v2/x { error_page 418 = /api/v1/y; return 418; }
--- request
GET /api/v1/v2/x
--- response_body
/api/v1/y v=1



=== TEST 3: from outside of an API into it
--- http_config eval: $::Api
--- config
    location /api { return 200 "$uri v=$apiscale_version $apiscale_uri\n"; }
    location = /old { error_page 418 = /api/v1/y; return 418; }
    location = /none { error_page 418 = /api/v9/y; return 418; }
--- request eval
["GET /old?a", "GET /none"]
--- response_body eval
["/api/v1/y v= /old?a\n", "/api/v9/y v= /none\n"]
--- error_code eval
[200, 200]



=== TEST 4: try_files, with a URI and with a named location
--- user_files
>>> api/there.txt
there
--- http_config eval: $::Api
--- config
    location /api/ { root $TEST_NGINX_HTML_DIR; try_files $uri @named; }
    location /api/uri/ { try_files /nothing /api/v2/fallback; }
    location /api/v2/ { return 200 "$uri v=$apiscale_version\n"; }
    location @named { return 200 "named $uri v=$apiscale_version $apiscale_uri\n"; }
--- request eval
["GET /api/v1/there.txt", "GET /api/v1/missing%20x", "GET /api/v1/uri/x"]
--- response_body eval
["there\n", "named /api/missing x v=1 /api/missing%20x\n",
 "/api/v2/fallback v=1\n"]
--- response_headers eval
["Deprecation: \@1577836800", "Deprecation: \@1577836800",
 "Deprecation: \@1577836800"]



=== TEST 5: an index is an internal redirect too
--- user_files
>>> api/dir/index.html
index
--- http_config eval: $::Api
--- config
    location /api/ { root $TEST_NGINX_HTML_DIR; index index.html; }
    location = /api/dir/index.html { return 200 "$uri v=$apiscale_version\n"; }
--- request
GET /api/v1/dir/
--- response_body
/api/dir/index.html v=1



=== TEST 6: an internal location stays closed, as it is without a version
--- http_config eval: $::Api
--- config
    location /api/secret { internal; return 200 "secret\n"; }
    location /api/redirect { error_page 418 = /api/secret; return 418; }
--- request eval
["GET /api/v1/secret", "GET /api/secret", "GET /api/v1/redirect"]
--- error_code eval
[404, 404, 200]
--- response_body_like eval
["404 Not Found", "404 Not Found", "^secret\n\$"]



=== TEST 7: with rewrite path as well
--- http_config
    apiscale_api main { prefix /api; default 2; rewrite path; version 2 { } }
    apiscale_use_api main;
--- config
    location /api/v2/secret { internal; return 200 "secret\n"; }
--- request eval
["GET /api/secret", "GET /api/v2/secret"]
--- error_code eval
[404, 404]



=== TEST 8: X-Accel-Redirect
--- http_config
    apiscale_api main {
        prefix /api;
        version 1 { deprecated 2020-01-01; successor 2; }
        version 2 { }
    }
    apiscale_use_api main;

    server {
        listen unix:$TEST_NGINX_HTML_DIR/origin.sock;
        apiscale_use_api off;
        location / { add_header X-Accel-Redirect /api/v9/other; return 200; }
    }
--- config
    location /api/x { proxy_pass http://unix:$TEST_NGINX_HTML_DIR/origin.sock; }
    location /api/v9/ { internal; return 200 "$uri v=$apiscale_version\n"; }
--- request
GET /api/v1/x
--- response_body
/api/v9/other v=1
--- response_headers
Link: </api/v2/x>; rel="successor-version"



=== TEST 9: subrequests see the version, and are not versioned themselves
--- http_config eval: $::Auth
--- config
    location /api/x {
        auth_request /api/v9/auth;
        auth_request_set $seen $upstream_http_x_seen;
        add_header X-Seen $seen;
        empty_gif;
    }
    location = /api/v9/auth {
        internal;
        proxy_pass http://unix:$TEST_NGINX_HTML_DIR/auth.sock:/;
        proxy_set_header X-Version "$apiscale_version $apiscale_uri $uri";
    }
--- request
GET /api/v1/x?y
--- response_headers
X-Seen: / 1 /api/x?y /api/v9/auth
Deprecation: @1577836800



=== TEST 10: an origin's error, answered by error_page
--- http_config eval: $::Api
--- config
    location /api/ { return 404; }
    error_page 404 /api/v2/missing;
    location /api/v2/missing { return 200 "$uri v=$apiscale_version\n"; }
--- request
GET /api/v1/x
--- error_code: 404
--- response_body
/api/v2/missing v=1
--- response_headers
Deprecation: @1577836800



=== TEST 11: rewrites of the location go on from the URI without version
--- http_config eval: $::Api
--- config
    location /api/a { rewrite ^/api/a(.*)$ /api/v2/b$1 last; }
    location /api/v2/b { return 200 "$uri v=$apiscale_version $request_uri\n"; }
--- request
GET /api/v1/a/x?y
--- response_body
/api/v2/b/x v=1 /api/v1/a/x?y



=== TEST 12: in the log, in a map, in a header to the origin
--- http_config
    map $apiscale_version $generation { default new; 1 old; "" none; }
    apiscale_api main { version 1 { } version 2 { } default 2; prefix /api; }
    apiscale_use_api main;
--- config
    location / { return 200 "$generation\n"; }
--- request eval
["GET /api/v1/x", "GET /api/x", "GET /x"]
--- response_body eval
["old\n", "new\n", "none\n"]



=== TEST 13: a deep recursion of redirects ends as nginx ends it
--- http_config eval: $::Api
--- config
    location /api/ { error_page 418 = /api/v1/again; recursive_error_pages on; return 418; }
--- request
GET /api/v1/x
--- error_code: 500
--- error_log
rewrite or internal redirection cycle



=== TEST 14: several requests of one connection
--- http_config eval: $::Api
--- config
    location / { return 200 "$uri v=$apiscale_version\n"; }
--- pipelined_requests eval
["GET /api/v1/x", "GET /x", "GET /api/x", "GET /api/v1/y"]
--- response_body eval
["/api/x v=1\n", "/x v=\n", "/api/x v=2\n", "/api/y v=1\n"]
