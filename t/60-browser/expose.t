# Which fields scripts of other origins may read: those that this module adds,
# where the response allows an origin.

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

# what a limit adds, but for Retry-After
our $Limit = join ', ', map("X-RateLimit-$_", qw(Limit Remaining Reset)),
                        qw(RateLimit-Policy RateLimit);

no_long_string();
run_tests();

__DATA__

=== TEST 1: add_header allows an origin
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        add_header Access-Control-Allow-Origin *;
        empty_gif;
    }
--- request
GET /t
--- response_headers eval
"Access-Control-Allow-Origin: *\nAccess-Control-Expose-Headers: $::Limit"



=== TEST 2: no origin is allowed: nothing is exposed, and what is stays as it is
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=9;
    location /t { empty_gif; }
    location /u {
        add_header Access-Control-Expose-Headers "X-A,x-a , RateLimit";
        empty_gif;
    }
    location /v {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
        add_header Access-Control-Allow-Methods GET;
    }
    location /x {
        apiscale_limit off;
        add_header Access-Control-Allow-Origim *;
        add_header Access-Control-Allow-Headers X-RateLimit-Limit;
        empty_gif;
    }
--- request eval
["GET /t", "GET /u", "GET /v"]
--- response_headers eval
["X-RateLimit-Limit: 9\n!Access-Control-Expose-Headers",
 "X-RateLimit-Limit: 9\nAccess-Control-Expose-Headers: X-A,x-a , RateLimit",
 "X-RateLimit-Limit: 9\n!Access-Control-Expose-Headers"]



=== TEST 3: an origin server allows an origin, whatever its spelling
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header access-control-ALLOW-origin https://app.test;
        empty_gif;
    }
--- request
GET /t
--- response_headers eval
"Access-Control-Allow-Origin: https://app.test\nAccess-Control-Expose-Headers: $::Limit"



=== TEST 4: an empty Access-Control-Allow-Origin allows none
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=9;
        add_header Access-Control-Allow-Origin $arg_none;
        proxy_pass http://unix:$TEST_NGINX_HTML_DIR/origin.sock:/;
    }
--- tcp_listen: $TEST_NGINX_HTML_DIR/origin.sock
--- tcp_reply eval
"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: \r\nConnection: close\r\n\r\n"
--- request
GET /t
--- response_headers
X-RateLimit-Limit: 9
!Access-Control-Expose-Headers



=== TEST 5: an origin server's line that proxy_hide_header takes out allows none
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=9;
        proxy_hide_header Access-Control-Allow-Origin;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header Access-Control-Allow-Origin *;
        empty_gif;
    }
--- request
GET /t
--- response_headers
X-RateLimit-Limit: 9
!Access-Control-Expose-Headers



=== TEST 6: a location that uses nothing of the module, and one that only measures
--- http_config
    apiscale_metrics_zone zone=m:1m;
--- config
    add_header Access-Control-Allow-Origin *;
    location /t { empty_gif; }
    location /u { apiscale_metrics on; empty_gif; }
--- request eval
["GET /t", "GET /u"]
--- response_headers eval
["Access-Control-Allow-Origin: *\n!Access-Control-Expose-Headers",
 "Access-Control-Allow-Origin: *\n!Access-Control-Expose-Headers"]



=== TEST 7: a limit that says nothing has nothing to expose, but for a rejection
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        apiscale_limit_headers off;
        add_header Access-Control-Allow-Origin * always;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t"]
--- error_code eval
[200, 429]
--- response_headers eval
["Access-Control-Allow-Origin: *\n!Access-Control-Expose-Headers",
 "Access-Control-Allow-Origin: *\nAccess-Control-Expose-Headers: Retry-After"]



=== TEST 8: 429: with "always"; without it the browser shows nothing anyway
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h policy=p;
    location /t {
        add_header Access-Control-Allow-Origin * always;
        empty_gif;
    }
    location /u {
        add_header Access-Control-Allow-Origin *;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /u"]
--- error_code eval
[200, 429, 429]
--- response_headers eval
["Access-Control-Expose-Headers: $::Limit\n!Retry-After",
 "Access-Control-Expose-Headers: $::Limit, Retry-After\nRetry-After: ~3600",
 "!Access-Control-Allow-Origin\n!Access-Control-Expose-Headers\nRetry-After: ~3600"]



=== TEST 9: only what the setting asks for
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    add_header Access-Control-Allow-Origin *;
    apiscale_limit zone=z rate=1r/h burst=9;
    location /t { apiscale_limit_headers ratelimit; empty_gif; }
    location /u { apiscale_limit_headers x-ratelimit=delta; empty_gif; }
--- request eval
["GET /t", "GET /u"]
--- response_headers eval
["Access-Control-Expose-Headers: RateLimit-Policy, RateLimit",
 "Access-Control-Expose-Headers: X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset"]



=== TEST 10: an origin server's trio that stands is its own to expose
1 of 10 is less than 8 of 9, but more than 0 of 9.
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=9 policy=p cost=$arg_c;
        apiscale_limit_headers x-ratelimit=delta ratelimit;
        add_header Access-Control-Allow-Origin *;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header X-RateLimit-Limit 10;
        add_header X-RateLimit-Remaining 1;
        add_header X-RateLimit-Reset 7;
        add_header RateLimit '"o";r=1;t=7';
        empty_gif;
    }
--- request eval
["GET /t?c=1", "GET /t?c=8"]
--- response_headers eval
["X-RateLimit-Limit: 10\nAccess-Control-Expose-Headers: RateLimit-Policy, RateLimit",
 "X-RateLimit-Limit: 9\nAccess-Control-Expose-Headers: $::Limit"]



=== TEST 11: 304
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=9;
    add_header Access-Control-Allow-Origin *;
--- user_files
>>> a.txt 201001010000.00
abc
--- request
GET /a.txt
--- more_headers
If-Modified-Since: Fri, 01 Jan 2010 00:00:00 GMT
--- error_code: 304
--- response_headers eval
"Access-Control-Expose-Headers: $::Limit"



=== TEST 12: 404, 403, 405, 301 and 500
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=9;
    add_header Access-Control-Allow-Origin * always;
    location /403 { deny all; }
    location /405 { empty_gif; }
    location /500 { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x; }
    location /x { apiscale_limit off; add_header X-A b; return 500; }
--- user_files
>>> sub/b.txt
abc
--- request eval
["GET /none", "GET /403", "POST /405\nx", "GET /sub", "GET /500"]
--- error_code eval
[404, 403, 405, 301, 500]
--- response_headers eval
[("Access-Control-Expose-Headers: $::Limit") x 5]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 13: error pages: of a location, of an upstream, with another status
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=9;
    add_header Access-Control-Allow-Origin * always;
    error_page 404 /page;
    error_page 403 =200 @page;
    location /page { empty_gif; }
    location @page {
        rewrite ^ /x break;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }
    location /403 { deny all; }
    location /u {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/y;
        proxy_intercept_errors on;
    }
    location /x { apiscale_limit off; empty_gif; }
    location /y { apiscale_limit off; return 404; }
--- request eval
["GET /none", "GET /403", "GET /u"]
--- error_code eval
[404, 200, 404]
--- response_headers eval
[("Access-Control-Expose-Headers: $::Limit") x 3]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 14: 416, which passes the filters twice: one line
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=9;
    add_header Access-Control-Allow-Origin * always;
    add_header Access-Control-Expose-Headers X-A always;
--- user_files
>>> a.txt
abc
--- request
GET /a.txt
--- more_headers
Range: bytes=9-
--- error_code: 416
--- response_headers eval
"Access-Control-Expose-Headers: X-A, $::Limit"
--- raw_response_headers_unlike eval
qr/(Access-Control-Expose-Headers:.*){2}/si
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 15: lines of the origin server and of add_header become one, without duplicates
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        apiscale_limit_headers ratelimit;
        add_header Access-Control-Expose-Headers "X-B,, x-a ,X-D";
        add_header Access-Control-Allow-Origin *;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header access-control-expose-headers " X-A ,	ratelimit,";
        add_header Access-Control-Expose-Headers "X-C, x-c";
        add_header Access-Control-Expose-Headers "";
        empty_gif;
    }
--- request
GET /t
--- response_headers
Access-Control-Expose-Headers: X-A, X-C, X-B, X-D, RateLimit-Policy, RateLimit
--- raw_response_headers_unlike eval
qr/(Access-Control-Expose-Headers:.*){2}/si



=== TEST 16: all is exposed already: the line names each once
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        apiscale_limit_headers ratelimit;
        add_header Access-Control-Allow-Origin *;
        add_header Access-Control-Expose-Headers "RATELIMIT,ratelimit-policy";
        empty_gif;
    }
--- request
GET /t
--- response_headers
Access-Control-Expose-Headers: RateLimit-Policy, RateLimit



=== TEST 17: "*" is all, and is left alone
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=9;
    location /t {
        add_header Access-Control-Allow-Origin *;
        add_header Access-Control-Expose-Headers *;
        empty_gif;
    }
    location /u {
        add_header Access-Control-Allow-Origin *;
        add_header Access-Control-Expose-Headers "X-A,* ,X-a";
        add_header Access-Control-Allow-Credentials false;
        empty_gif;
    }
    location /v {
        add_header Access-Control-Allow-Origin *;
        add_header Access-Control-Expose-Headers "*-A";
        empty_gif;
    }
--- request eval
["GET /t", "GET /u", "GET /v"]
--- response_headers eval
["Access-Control-Expose-Headers: *",
 "Access-Control-Expose-Headers: X-A,* ,X-a",
 "Access-Control-Expose-Headers: *-A, $::Limit"]



=== TEST 18: "*" is but a name where credentials are allowed
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        apiscale_limit_headers ratelimit;
        add_header Access-Control-Allow-Origin https://app.test;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header Access-Control-Expose-Headers *;
        add_header access-control-allow-credentials true;
        empty_gif;
    }
--- request
GET /t
--- response_headers
Access-Control-Expose-Headers: *, RateLimit-Policy, RateLimit



=== TEST 19: a deprecated version, which has no limit; then one with a limit
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_api a {
        prefix /api;
        source path;
        default 2;
        version 1 {
            deprecated 2020-01-01;
            sunset 2099-01-01;
            successor 2;
            link https://docs.test/v1;
        }
        version 2 { }
    }
--- config
    apiscale_use_api a;
    add_header Access-Control-Allow-Origin *;
    location /api/t { empty_gif; }
    location /api/u {
        apiscale_limit zone=z rate=1r/h burst=9;
        apiscale_limit_headers ratelimit;
        empty_gif;
    }
--- request eval
["GET /api/v1/t", "GET /api/v2/t", "GET /api/v1/u", "GET /api/v2/u"]
--- response_headers eval
["Access-Control-Expose-Headers: Deprecation, Sunset, Link",
 "Access-Control-Allow-Origin: *\n!Access-Control-Expose-Headers",
 "Access-Control-Expose-Headers: Deprecation, Sunset, Link, RateLimit-Policy, RateLimit",
 "Access-Control-Expose-Headers: RateLimit-Policy, RateLimit"]



=== TEST 20: a date that the origin server states stands, and is not exposed
--- http_config
    apiscale_api a {
        prefix /api;
        source path;
        version 1 { deprecated 2020-01-01; sunset 2099-01-01; }
    }
--- config
    apiscale_use_api a;
    location /api/t {
        add_header Access-Control-Allow-Origin *;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header Sunset "Tue, 01 Jan 2098 00:00:00 GMT";
        empty_gif;
    }
--- request
GET /api/v1/t
--- response_headers
Sunset: Tue, 01 Jan 2098 00:00:00 GMT
Access-Control-Expose-Headers: Deprecation



=== TEST 21: an ended version, answered before a location is known
--- http_config
    apiscale_api a {
        prefix /api;
        source path;
        version 1 { deprecated 2020-01-01; sunset 2021-01-01; successor 2; }
        version 2 { }
    }
--- config
    apiscale_use_api a;
    add_header Access-Control-Allow-Origin * always;
--- request
GET /api/v1/t
--- error_code: 410
--- response_headers
Content-Type: application/problem+json
Access-Control-Expose-Headers: Deprecation, Sunset, Link



=== TEST 22: a preflight is not charged, has no headers of a limit, exposes nothing
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        add_header Access-Control-Allow-Origin * always;
        if ($request_method = OPTIONS) { return 204; }
        empty_gif;
    }
    location /u {
        apiscale_limit zone=z rate=1r/h;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header Access-Control-Allow-Origin *;
        return 204;
    }
--- request eval
["OPTIONS /t", "OPTIONS /u", "GET /t", "OPTIONS /u"]
--- more_headers
Origin: http://app.test
Access-Control-Request-Method: GET
--- error_code eval
[204, 204, 200, 204]
--- response_headers eval
["Access-Control-Allow-Origin: *\n!Access-Control-Expose-Headers",
 "Access-Control-Allow-Origin: *\n!Access-Control-Expose-Headers\n!X-RateLimit-Limit",
 "X-RateLimit-Remaining: 0\nAccess-Control-Expose-Headers: $::Limit",
 "Access-Control-Allow-Origin: *\n!Access-Control-Expose-Headers\n!X-RateLimit-Limit"]



=== TEST 23: HTTP/2
--- http2
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        add_header Access-Control-Allow-Origin *;
        add_header Access-Control-Expose-Headers X-A;
        empty_gif;
    }
--- request
GET /t
--- response_headers eval
"Access-Control-Expose-Headers: X-A, $::Limit"



=== TEST 24: what nginx's cache stores is the origin server's line, not ours
--- http_config
    apiscale_limit_zone zone=z:1m;
    proxy_cache_path $TEST_NGINX_SERVROOT/html/c3 keys_zone=c3:1m;
--- config
    proxy_cache c3;
    proxy_cache_valid 1h;
    proxy_cache_key k;
    location /t {
        apiscale_limit zone=z rate=1r/h burst=9;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /u {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        proxy_cache off;
        add_header Access-Control-Allow-Origin *;
        add_header Access-Control-Expose-Headers X-A;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /u"]
--- response_headers eval
["Access-Control-Expose-Headers: X-A, $::Limit",
 "Access-Control-Expose-Headers: X-A, $::Limit",
 "Access-Control-Expose-Headers: X-A"]



=== TEST 25: more names than are told apart: none is lost, ours are named once
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config eval
"location /t {
    apiscale_limit zone=z rate=1r/h;
    apiscale_limit_headers ratelimit;
    add_header Access-Control-Allow-Origin *;
    add_header Access-Control-Expose-Headers '"
    . CORE::join(',', (map { "N$_" } 1 .. 70), 'n1', 'RateLimit', 'N70') . "';
    empty_gif;
}"
--- request
GET /t
--- response_headers eval
"Access-Control-Expose-Headers: "
. CORE::join(', ', (map { "N$_" } 1 .. 70), 'N70', 'RateLimit-Policy', 'RateLimit')



=== TEST 26: a subrequest's response exposes nothing, the request's does
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h;
        auth_request /auth;
        add_header Access-Control-Allow-Origin *;
        empty_gif;
    }
    location /auth {
        internal;
        add_header X-Auth a;
        return 204;
    }
--- request
GET /t
--- response_headers eval
"Access-Control-Expose-Headers: $::Limit"
