# What the client is told, on which responses, beside what an origin says.

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

run_tests();

__DATA__

=== TEST 1: the default: X-RateLimit with Unix time, RateLimit, its policy
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=60r/m burst=5 policy=p; empty_gif; }
--- request
GET /t
--- response_headers
X-RateLimit-Limit: 5
X-RateLimit-Remaining: 4
RateLimit-Policy: "p";q=5;w=5
RateLimit: "p";r=4;t=4
!Retry-After
--- raw_response_headers_like eval
qr/X-RateLimit-Reset: 1[0-9]{9}\r\n/



=== TEST 2: headers off, which is not said of Retry-After
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit_headers off;
        apiscale_limit zone=z rate=1r/h;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t"]
--- error_code eval
[200, 429]
--- response_headers eval
my $none = "!X-RateLimit-Limit\n!X-RateLimit-Remaining\n!X-RateLimit-Reset\n"
           . "!RateLimit\n!RateLimit-Policy\n";
[$none . "!Retry-After", $none . "Retry-After: ~3600"]



=== TEST 3: x-ratelimit alone
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit_headers x-ratelimit;
        apiscale_limit zone=z rate=1r/h;
        empty_gif;
    }
--- request
GET /t
--- response_headers
X-RateLimit-Limit: 1
X-RateLimit-Remaining: 0
!RateLimit
!RateLimit-Policy
--- raw_response_headers_like eval
qr/X-RateLimit-Reset: 1[0-9]{9}\r\n/



=== TEST 4: x-ratelimit=epoch, and a level of its own for each setting
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit_headers x-ratelimit=epoch;
--- config
    apiscale_limit zone=z rate=1r/h burst=9;
    location /t { empty_gif; }
    location /u { apiscale_limit_headers ratelimit; empty_gif; }
    location /v { apiscale_limit_headers x-ratelimit=delta; empty_gif; }
    location /w { apiscale_limit_headers off; empty_gif; }
    location /x { apiscale_limit_headers x-ratelimit=delta ratelimit; empty_gif; }
--- request eval
["GET /t", "GET /u", "GET /v", "GET /w", "GET /x"]
--- response_headers eval
["X-RateLimit-Limit: 9\nX-RateLimit-Remaining: 8\n!RateLimit\n!RateLimit-Policy",
 "!X-RateLimit-Limit\n!X-RateLimit-Remaining\n!X-RateLimit-Reset\nRateLimit: \"1r/h\";r=7;t=25200",
 "X-RateLimit-Remaining: 6\nX-RateLimit-Reset: ~10800\n!RateLimit",
 "!X-RateLimit-Limit\n!RateLimit",
 "X-RateLimit-Remaining: 4\nX-RateLimit-Reset: ~18000\nRateLimit-Policy: \"1r/h\";q=9;w=32400\nRateLimit: \"1r/h\";r=4;t=14400"]



=== TEST 5: 200, 204, 206, 301, 304, 404, 405, 412, 416, 500: all have them
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit_headers x-ratelimit=delta ratelimit;
    apiscale_limit zone=z rate=1r/h burst=20 policy=p;
    location /500 { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x500; }
    location /x500 { apiscale_limit off; return 500; }
    location /204 { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x204; }
    location /x204 { apiscale_limit off; return 204; }
--- user_files
>>> a.txt 201001010000.00
abc
>>> sub/b.txt
abc
--- request eval
["GET /a.txt", "GET /204", "GET /a.txt", "GET /a.txt", "GET /none",
 "POST /a.txt\nx", "GET /a.txt", "GET /a.txt", "GET /500", "HEAD /a.txt",
 "GET /sub"]
--- more_headers eval
["", "", "Range: bytes=0-0",
 "If-Modified-Since: Fri, 01 Jan 2010 00:00:00 GMT", "", "",
 "If-Unmodified-Since: Fri, 01 Jan 2009 00:00:00 GMT", "Range: bytes=9-", "",
 "", ""]
--- error_code eval
[200, 204, 206, 304, 404, 405, 412, 416, 500, 200, 301]
--- response_headers eval
[map { my $left = 19 - $_;
       "X-RateLimit-Limit: 20\nX-RateLimit-Remaining: $left\n"
       . "X-RateLimit-Reset: ~" . 3600 * ($_ + 1) . "\n"
       . "RateLimit-Policy: \"p\";q=20;w=72000\n"
       . "RateLimit: \"p\";r=$left;t=" . 3600 * $left . "\n!Retry-After"
     } 0 .. 10]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 6: 502 and 504 of a proxied origin
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=20 policy=p;
    location /502 { proxy_pass http://127.0.0.1:1/; }
    location /fallback {
        proxy_pass http://127.0.0.1:1/;
        error_page 502 = @down;
    }
    location @down { return 503 "down\n"; }
    location /intercept {
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x404;
        proxy_intercept_errors on;
        error_page 404 /intercepted;
    }
    location /intercepted { empty_gif; }
    location /x404 { apiscale_limit off; return 404; }
--- request eval
["GET /502", "GET /fallback", "GET /intercept"]
--- error_code eval
[502, 503, 404]
--- response_headers eval
[map { "X-RateLimit-Limit: 20\nX-RateLimit-Remaining: $_\n"
       . "RateLimit: \"p\";r=$_;t=" . 3600 * $_ . "\n!Retry-After" }
     19, 18, 17]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 7: 413 comes before the limit
The length of a body is looked at before the location's phases.
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        client_max_body_size 2;
        apiscale_limit zone=z rate=1r/h burst=2;
        proxy_pass http://127.0.0.1:1/;
    }
--- request
POST /t
abcdef
--- error_code: 413
--- response_headers
!X-RateLimit-Limit
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 8: HTTP/2
--- http2
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=1r/h policy=p; empty_gif; }
--- request
GET /t
--- response_headers
X-RateLimit-Limit: 1
X-RateLimit-Remaining: 0
RateLimit-Policy: "p";q=1;w=3600
RateLimit: "p";r=0;t=~3600



=== TEST 9: HTTP/2, a rejection
--- http2
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=1r/h policy=p cost=2; empty_gif; }
    location /u { apiscale_limit zone=z rate=1r/h policy=p; empty_gif; }
--- request
GET /t
--- error_code: 429
--- response_headers
Content-Type: application/problem+json
X-RateLimit-Limit: 1
X-RateLimit-Remaining: 1
!Retry-After
--- response_body_like chomp
"status":429



=== TEST 10: an origin that states limits of its own: the stricter trio is sent whole
What the origin says of 1 of 10 is less than 8 of 10, and more than 0 of 10.
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=10 policy=p cost=$arg_c;
        apiscale_limit_headers x-ratelimit=delta;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header x-ratelimit-limit 10;
        add_header x-ratelimit-remaining 1;
        add_header x-ratelimit-reset origin;
        empty_gif;
    }
--- request eval
["GET /t?c=2", "GET /t?c=7", "GET /t?c=1"]
--- response_headers eval
["x-ratelimit-limit: 10\nx-ratelimit-remaining: 1\nx-ratelimit-reset: origin",
 "X-RateLimit-Limit: 10\nX-RateLimit-Remaining: 1\nX-RateLimit-Reset: ~32400",
 "X-RateLimit-Limit: 10\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: ~36000"]



=== TEST 11: in proportion, not in number
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit_headers x-ratelimit=delta;
    location /t {
        apiscale_limit zone=z rate=1r/h burst=1000 policy=p cost=500;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /u {
        apiscale_limit zone=z rate=1r/h burst=4 policy=q cost=2;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/y;
    }
    location /x {
        add_header X-RateLimit-Limit 10;
        add_header X-RateLimit-Remaining 6;
        add_header X-RateLimit-Reset origin;
        empty_gif;
    }
    location /y {
        add_header X-RateLimit-Limit 1000;
        add_header X-RateLimit-Remaining 499;
        add_header X-RateLimit-Reset origin;
        empty_gif;
    }
--- request eval
["GET /t", "GET /u"]
--- response_headers eval
["X-RateLimit-Limit: 1000\nX-RateLimit-Remaining: 500",
 "X-RateLimit-Limit: 1000\nX-RateLimit-Remaining: 499\nX-RateLimit-Reset: origin"]



=== TEST 12: an origin's trio that is not whole, or makes no sense, is replaced
--- http_config
    apiscale_limit_zone zone=z:1m;
    map $arg_m $limit { ~l ""; z 0; x abc; n -5; b 99999999999999999999; default 10; }
    map $arg_m $remaining { ~r ""; y abc; m -1; default 0; }
    map $arg_m $reset { ~t ""; default origin; }
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=100 policy=p;
        apiscale_limit_headers x-ratelimit=delta;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x?$args;
    }
    location /x {
        add_header X-RateLimit-Limit $limit;
        add_header X-RateLimit-Remaining $remaining;
        add_header X-RateLimit-Reset $reset;
        empty_gif;
    }
--- request eval
["GET /t?m=l", "GET /t?m=r", "GET /t?m=t", "GET /t?m=lr", "GET /t?m=lrt",
 "GET /t?m=z", "GET /t?m=x", "GET /t?m=n", "GET /t?m=b", "GET /t?m=y",
 "GET /t?m=m", "GET /t?m=ok"]
--- response_headers eval
[(map { "X-RateLimit-Limit: 100\nX-RateLimit-Remaining: " . (99 - $_)
       . "\nX-RateLimit-Reset: ~" . 3600 * ($_ + 1) } 0 .. 10),
 "X-RateLimit-Limit: 10\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: origin"]



=== TEST 13: a trio that an origin states twice is not left beside ours
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h policy=p;
        apiscale_limit_headers x-ratelimit=delta;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header X-RateLimit-Limit 100;
        add_header X-RateLimit-Limit 1000;
        add_header X-RateLimit-Remaining 60;
        add_header X-RateLimit-Remaining 61;
        add_header X-RateLimit-Reset 1;
        add_header X-RateLimit-Reset 2;
        empty_gif;
    }
--- request
GET /t
--- response_headers
X-RateLimit-Limit: 1
X-RateLimit-Remaining: 0
X-RateLimit-Reset: ~3600



=== TEST 14: lists of an origin come first, ours behind
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h policy=p;
        apiscale_limit zone=z rate=1r/h burst=2 policy=q;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header RateLimit-Policy '"o";q=100;w=60';
        add_header ratelimit '"o";r=50;t=30, "o2";r=1';
        empty_gif;
    }
--- request
GET /t
--- response_headers
RateLimit-Policy: "o";q=100;w=60, "p";q=1;w=3600, "q";q=2;w=7200
RateLimit: "o";r=50;t=30, "o2";r=1, "p";r=0;t=~3600, "q";r=1;t=3600



=== TEST 15: what the settings do not ask for is the origin's business
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h policy=p;
        apiscale_limit_headers off;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /u {
        apiscale_limit zone=z rate=1r/h policy=q;
        apiscale_limit_headers ratelimit;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        add_header X-RateLimit-Limit 5;
        add_header X-RateLimit-Remaining 5;
        add_header X-RateLimit-Reset 5;
        add_header RateLimit '"o";r=50;t=30';
        add_header Retry-After 9;
        empty_gif;
    }
--- request eval
["GET /t", "GET /u"]
--- response_headers eval
["X-RateLimit-Limit: 5\nX-RateLimit-Remaining: 5\nRateLimit: \"o\";r=50;t=30\nRetry-After: 9",
 "X-RateLimit-Limit: 5\nX-RateLimit-Remaining: 5\nRateLimit: \"o\";r=50;t=30, \"q\";r=0;t=~3600\nRetry-After: 9"]



=== TEST 16: the larger Retry-After wins
The body of a rejection may be made by an origin, which says when to come.
--- http_config
    apiscale_limit_zone zone=z:1m;
    map $arg_r $after {
        more 7200; less 60; same 3600; past "Thu, 01 Jan 1970 00:00:00 GMT";
        date "Fri, 01 Jan 2100 00:00:00 GMT"; junk soon; none "";
    }
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h policy=p key=$arg_k;
        error_page 429 = @busy;
        empty_gif;
    }
    location @busy {
        rewrite ^ /x break;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT;
    }
    location /x {
        apiscale_limit off;
        add_header Retry-After $after always;
        return 503 busy;
    }
--- request eval
["GET /t?k=a", map { "GET /t?k=a&r=$_" } qw(more less same past date junk none)]
--- error_code eval
[200, (503) x 7]
--- response_headers eval
["!Retry-After", "Retry-After: ~7200", "Retry-After: ~3600",
 "Retry-After: ~3600", "Retry-After: ~3600",
 "Retry-After: Fri, 01 Jan 2100 00:00:00 GMT", "Retry-After: ~3600",
 "Retry-After: ~3600"]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 17: an answer from nginx's cache has fresh values
--- http_config
    apiscale_limit_zone zone=z:1m;
    proxy_cache_path $TEST_NGINX_SERVROOT/html/c1 keys_zone=c:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=5 policy=p;
        proxy_cache c;
        proxy_cache_valid 1h;
        add_header X-Cache $upstream_cache_status always;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x { return 200 x; }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- response_headers eval
["X-Cache: MISS\nX-RateLimit-Remaining: 4\nRateLimit: \"p\";r=4;t=14400",
 "X-Cache: HIT\nX-RateLimit-Remaining: 3\nRateLimit: \"p\";r=3;t=10800",
 "X-Cache: HIT\nX-RateLimit-Remaining: 2\nRateLimit: \"p\";r=2;t=7200"]



=== TEST 18: a validated answer, 304, from nginx's cache
--- http_config
    apiscale_limit_zone zone=z:1m;
    proxy_cache_path $TEST_NGINX_SERVROOT/html/c2 keys_zone=c2:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=5 policy=p;
        proxy_cache c2;
        proxy_cache_valid 1h;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x { add_header ETag '"e"'; return 200 x; }
--- request eval
["GET /t", "GET /t"]
--- more_headers eval
["", 'If-None-Match: "e"']
--- error_code eval
[200, 304]
--- response_headers eval
["X-RateLimit-Remaining: 4", "X-RateLimit-Remaining: 3\nRateLimit: \"p\";r=3;t=10800"]



=== TEST 19: dry run policies are in no header
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h policy=dry dry_run;
        apiscale_limit zone=z rate=1r/h burst=5 policy=p;
        empty_gif;
    }
    location /u {
        apiscale_limit zone=z rate=1r/h policy=udry dry_run;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /u", "GET /u"]
--- response_headers eval
["X-RateLimit-Limit: 5\nRateLimit-Policy: \"p\";q=5;w=18000\nRateLimit: \"p\";r=4;t=14400",
 "X-RateLimit-Limit: 5\nRateLimit-Policy: \"p\";q=5;w=18000\nRateLimit: \"p\";r=3;t=10800",
 "!X-RateLimit-Limit\n!RateLimit\n!RateLimit-Policy\n!Retry-After",
 "!X-RateLimit-Limit\n!RateLimit\n!RateLimit-Policy\n!Retry-After"]



=== TEST 20: fast rates: the window is at least a second
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1000r/s burst=5 policy=p;
        apiscale_limit_headers x-ratelimit=delta ratelimit;
        empty_gif;
    }
--- request
GET /t
--- response_headers
X-RateLimit-Limit: 5
RateLimit-Policy: "p";q=5;w=1
RateLimit: "p";r=4;t=1



=== TEST 21: the client cannot say anything about it
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=1r/h burst=5 policy=p; empty_gif; }
--- request
GET /t
--- more_headers
X-RateLimit-Limit: 1000
X-RateLimit-Remaining: 1000
RateLimit: "x";r=1000
Retry-After: 7
--- response_headers
X-RateLimit-Limit: 5
X-RateLimit-Remaining: 4
RateLimit: "p";r=4;t=14400
!Retry-After



=== TEST 22: a response that becomes an error after its headers were made
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=5 policy=p;
        proxy_set_header Range "";
        proxy_force_ranges on;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
        error_page 416 /range;
    }
    location /range {
        apiscale_limit zone=z rate=1r/h burst=3 policy=range;
        empty_gif;
    }
    location /u {
        apiscale_limit zone=z rate=1r/h burst=5 policy=u;
        proxy_set_header Range "";
        proxy_force_ranges on;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x {
        apiscale_limit off;
        add_header RateLimit '"o";r=1';
        root html;
        rewrite ^ /a.txt break;
    }
--- user_files
>>> a.txt
abc
--- request eval
["GET /t", "GET /u"]
--- more_headers
Range: bytes=9-
--- error_code eval
[416, 416]
--- response_headers eval
["X-RateLimit-Limit: 3\nRateLimit-Policy: \"p\";q=5;w=18000, \"range\";q=3;w=10800",
 "X-RateLimit-Limit: 5\nRateLimit-Policy: \"u\";q=5;w=18000\nRateLimit: \"o\";r=1, \"u\";r=4;t=14400"]
