# Which policies apply, what they share, what they charge.

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

run_tests();

__DATA__

=== TEST 1: a burst, then no more
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=3;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 200, 200, 429, 429]
--- response_headers eval
["X-RateLimit-Limit: 3\nX-RateLimit-Remaining: 2\n!Retry-After",
 "X-RateLimit-Limit: 3\nX-RateLimit-Remaining: 1\n!Retry-After",
 "X-RateLimit-Limit: 3\nX-RateLimit-Remaining: 0\n!Retry-After",
 "X-RateLimit-Limit: 3\nX-RateLimit-Remaining: 0\nRetry-After: ~3600",
 "X-RateLimit-Limit: 3\nX-RateLimit-Remaining: 0\nRetry-After: ~3600"]



=== TEST 2: the default burst is the rate's number
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=2r/h;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-RateLimit-Limit: 2\nX-RateLimit-Remaining: 1",
 "X-RateLimit-Limit: 2\nX-RateLimit-Remaining: 0",
 "X-RateLimit-Limit: 2\nX-RateLimit-Remaining: 0"]



=== TEST 3: loaded and not used, the module adds nothing
--- config
    location /t {
        add_header X-Status "[$apiscale_limit_status]" always;
        empty_gif;
    }
--- request
GET /t
--- response_headers
X-Status: []
!X-RateLimit-Limit
!X-RateLimit-Remaining
!X-RateLimit-Reset
!RateLimit
!RateLimit-Policy
!Retry-After



=== TEST 4: a level without lines has those of the outer one
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h burst=9 policy=http;
--- config
    location /t { empty_gif; location /t/u { empty_gif; } }
--- request eval
["GET /t", "GET /t/u"]
--- response_headers eval
["RateLimit-Policy: \"http\";q=9;w=32400\nX-RateLimit-Remaining: 8",
 "RateLimit-Policy: \"http\";q=9;w=32400\nX-RateLimit-Remaining: 7"]



=== TEST 5: lines replace those of the outer level
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h burst=9 policy=http;
--- config
    apiscale_limit zone=z rate=1r/h burst=8 policy=server;
    location /s { empty_gif; }
    location /t {
        apiscale_limit zone=z rate=1r/h burst=7 policy=a;
        apiscale_limit zone=z rate=1r/h burst=6 policy=b;
        empty_gif;
        location /t/u {
            apiscale_limit zone=z rate=1r/h burst=5 policy=inner;
            empty_gif;
        }
    }
--- request eval
["GET /s", "GET /t", "GET /t/u"]
--- response_headers eval
[qq{RateLimit-Policy: "server";q=8;w=28800},
 qq{RateLimit-Policy: "a";q=7;w=25200, "b";q=6;w=21600},
 qq{RateLimit-Policy: "inner";q=5;w=18000}]



=== TEST 6: inherit adds, the outer ones first
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h burst=9 policy=http;
--- config
    apiscale_limit zone=z rate=1r/h burst=8 policy=server;
    apiscale_limit inherit;
    location /t {
        apiscale_limit inherit;
        apiscale_limit zone=z rate=1r/h burst=7 policy=t;
        empty_gif;
        location /t/u { apiscale_limit inherit; empty_gif; }
        location /t/v {
            apiscale_limit zone=z rate=1r/h burst=6 policy=v;
            apiscale_limit inherit;
            empty_gif;
        }
    }
--- request eval
["GET /t", "GET /t/u", "GET /t/v"]
--- response_headers eval
[qq{RateLimit-Policy: "http";q=9;w=32400, "server";q=8;w=28800, "t";q=7;w=25200},
 qq{RateLimit-Policy: "http";q=9;w=32400, "server";q=8;w=28800, "t";q=7;w=25200},
 qq{RateLimit-Policy: "http";q=9;w=32400, "server";q=8;w=28800, "t";q=7;w=25200, "v";q=6;w=21600}]



=== TEST 7: inherit with a policy of the outer level charges it once
The line of the level itself counts: its key, its cost.
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h burst=9 policy=p;
    apiscale_limit zone=z rate=1r/h burst=8 policy=q;
--- config
    location /t {
        apiscale_limit inherit;
        apiscale_limit zone=z rate=1r/h burst=9 policy=p cost=3;
        empty_gif;
    }
--- request
GET /t
--- response_headers
RateLimit-Policy: "q";q=8;w=28800, "p";q=9;w=32400
RateLimit: "q";r=7;t=25200, "p";r=6;t=21600



=== TEST 8: off ends it for the level and what is in it
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h policy=http;
--- config
    location /t {
        apiscale_limit off;
        add_header X-Status "[$apiscale_limit_status]";
        empty_gif;
        location /t/u {
            add_header X-Status "[$apiscale_limit_status]";
            empty_gif;
        }
        location /t/v {
            apiscale_limit inherit;
            add_header X-Status "[$apiscale_limit_status]";
            empty_gif;
        }
        location /t/w {
            apiscale_limit zone=z rate=1r/h policy=w;
            add_header X-Status "[$apiscale_limit_status]";
            empty_gif;
        }
    }
--- request eval
["GET /t", "GET /t", "GET /t/u", "GET /t/u", "GET /t/v", "GET /t/w"]
--- response_headers eval
["X-Status: []\n!X-RateLimit-Limit", "X-Status: []\n!X-RateLimit-Limit",
 "X-Status: []\n!X-RateLimit-Limit", "X-Status: []\n!X-RateLimit-Limit",
 "X-Status: []\n!X-RateLimit-Limit",
 qq{X-Status: [PASSED]\nRateLimit-Policy: "w";q=1;w=3600}]



=== TEST 9: an if block has what its location has
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=2 policy=t;
        apiscale_limit_status 430;
        if ($arg_a) {
            add_header X-If 1;
        }
        empty_gif;
    }
--- request eval
["GET /t?a=1", "GET /t?a=1", "GET /t?a=1"]
--- error_code eval
[200, 200, 430]
--- response_headers eval
["X-If: 1\nX-RateLimit-Remaining: 1", "X-If: 1\nX-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0"]



=== TEST 10: lines with one zone and policy share buckets, servers too
--- http_config
    apiscale_limit_zone zone=z:1m;
    server {
        listen $TEST_NGINX_SERVER_PORT;
        server_name other;
        location / {
            apiscale_limit zone=z rate=1r/h burst=4 policy=p;
            empty_gif;
        }
    }
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=4 policy=p;
        empty_gif;
    }
    location /u {
        apiscale_limit zone=z rate=1r/h burst=4 policy=p;
        apiscale_limit zone=z rate=1r/h burst=5 policy=q;
        empty_gif;
    }
--- request eval
["GET /t", "GET /o", "GET /u", "GET /t", "GET /o", "GET /u"]
--- more_headers eval
["Host: localhost", "Host: other", "Host: localhost",
 "Host: localhost", "Host: other", "Host: localhost"]
--- error_code eval
[200, 200, 200, 200, 429, 429]
--- response_headers eval
["X-RateLimit-Remaining: 3", "X-RateLimit-Remaining: 2",
 "X-RateLimit-Remaining: 1\nRateLimit: \"p\";r=1;t=3600, \"q\";r=4;t=14400",
 "X-RateLimit-Remaining: 0", "X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0"]



=== TEST 11: zones, policies and keys are apart
--- http_config
    apiscale_limit_zone zone=y:1m;
    apiscale_limit_zone zone=z:1m;
--- config
    location /z { apiscale_limit zone=z rate=1r/h policy=p; empty_gif; }
    location /y { apiscale_limit zone=y rate=1r/h policy=p; empty_gif; }
    location /q { apiscale_limit zone=z rate=1r/h policy=q; empty_gif; }
    location /k {
        apiscale_limit zone=z key=$arg_k rate=1r/h policy=k;
        empty_gif;
    }
--- request eval
["GET /z", "GET /y", "GET /q", "GET /k?k=a", "GET /k?k=b", "GET /k?k=A",
 "GET /z", "GET /y", "GET /q", "GET /k?k=a", "GET /k?k=b", "GET /k?k=A"]
--- error_code eval
[200, 200, 200, 200, 200, 200, 429, 429, 429, 429, 429, 429]



=== TEST 12: a key of several variables
Key values are text: "a" and "bc" together are what "ab" and "c" are.
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z key=$arg_a:$arg_b rate=1r/h;
        empty_gif;
    }
--- request eval
["GET /t?a=a&b=bc", "GET /t?a=ab&b=c", "GET /t?b=bc&a=a", "GET /t"]
--- error_code eval
[200, 200, 429, 200]



=== TEST 13: an empty key: the policy does not apply
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    add_header X-Status "$apiscale_limit_status,$apiscale_limit_policy" always;
    location /t {
        apiscale_limit zone=z key=$arg_k rate=1r/h;
        empty_gif;
    }
    location /u {
        apiscale_limit zone=z key=$arg_k rate=1r/h policy=k;
        apiscale_limit zone=z rate=1r/h burst=3 policy=ip;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t?k=", "GET /t?k=1", "GET /t?k=1", "GET /u", "GET /u?k="]
--- error_code eval
[200, 200, 200, 429, 200, 200]
--- response_headers eval
["X-Status: BYPASSED,\n!X-RateLimit-Limit\n!RateLimit\n!RateLimit-Policy",
 "X-Status: BYPASSED,\n!X-RateLimit-Limit",
 "X-Status: PASSED,1r/h\nX-RateLimit-Limit: 1",
 "X-Status: REJECTED,1r/h\nX-RateLimit-Limit: 1",
 qq{X-Status: PASSED,ip\nRateLimit-Policy: "ip";q=3;w=10800\nRateLimit: "ip";r=2;t=7200},
 qq{X-Status: PASSED,ip\nRateLimit-Policy: "ip";q=3;w=10800\nRateLimit: "ip";r=1;t=3600}]



=== TEST 14: the default key is the client's network
--- http_config
    apiscale_limit_zone zone=z:1m;
    real_ip_header X-Real-IP;
    set_real_ip_from 127.0.0.1;
--- config
    location /t { apiscale_limit zone=z rate=1r/h policy=p; empty_gif; }
    location /u {
        apiscale_limit zone=z rate=1r/h policy=p key=$apiscale_client_net;
        empty_gif;
    }
--- request eval
["GET /t", "GET /u", "GET /t", "GET /u"]
--- more_headers eval
["X-Real-IP: 192.0.2.1", "X-Real-IP: 192.0.2.1", "X-Real-IP: 192.0.2.2",
 "X-Real-IP: 192.0.2.2"]
--- error_code eval
[200, 429, 200, 429]



=== TEST 15: what one policy rejects costs nothing in another
The last ones show that "wide" was charged twice only, and "other" as well.
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit_zone zone=y:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=5 policy=wide;
        apiscale_limit zone=z rate=1r/h burst=2 policy=tight;
        apiscale_limit zone=y rate=1r/h burst=6 policy=other;
        empty_gif;
    }
    location /wide {
        apiscale_limit zone=z rate=1r/h burst=5 policy=wide;
        empty_gif;
    }
    location /other {
        apiscale_limit zone=y rate=1r/h burst=6 policy=other;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t", "GET /wide", "GET /other"]
--- error_code eval
[200, 200, 429, 429, 429, 200, 200]
--- response_headers eval
["RateLimit: \"wide\";r=4;t=14400, \"tight\";r=1;t=3600, \"other\";r=5;t=18000",
 "RateLimit: \"wide\";r=3;t=10800, \"tight\";r=0;t=~3600, \"other\";r=4;t=14400",
 (qq{RateLimit: "wide";r=3;t=10800, "tight";r=0;t=~3600, "other";r=4;t=14400
X-RateLimit-Limit: 2
X-RateLimit-Remaining: 0}) x 3,
 "X-RateLimit-Remaining: 2", "X-RateLimit-Remaining: 3"]



=== TEST 16: a policy that rejects is asked before others charge, in any order
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z key=$arg_k rate=1r/h burst=1 policy=first;
        apiscale_limit zone=z rate=1r/h burst=2 policy=last;
        empty_gif;
    }
--- request eval
["GET /t?k=a", "GET /t?k=a", "GET /t?k=a", "GET /t?k=b", "GET /t?k=c",
 "GET /t?k=d"]
--- error_code eval
[200, 429, 429, 200, 429, 429]
--- response_headers eval
["X-RateLimit-Remaining: 0", "X-RateLimit-Limit: 1", "X-RateLimit-Limit: 1",
 "X-RateLimit-Remaining: 0", "X-RateLimit-Limit: 2\nRateLimit: \"first\";r=1;t=3600, \"last\";r=0;t=~3600",
 "X-RateLimit-Limit: 2"]



=== TEST 17: costs
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=10 cost=$arg_c;
        empty_gif;
    }
--- request eval
["GET /t?c=3", "GET /t?c=0", "GET /t", "GET /t?c=", "GET /t?c=x",
 "GET /t?c=-1", "GET /t?c=1.5", "GET /t?c=+1", "GET /t?c=%31",
 "GET /t?c=11", "GET /t?c=01", "GET /t?c=0", "GET /t?c=1"]
--- error_code eval
[200, 200, 200, 200, 200, 200, 200, 200, 200, 429, 429, 200, 429]
--- response_headers eval
["X-RateLimit-Remaining: 7", "X-RateLimit-Remaining: 7",
 "X-RateLimit-Remaining: 6", "X-RateLimit-Remaining: 5",
 "X-RateLimit-Remaining: 4", "X-RateLimit-Remaining: 3",
 "X-RateLimit-Remaining: 2", "X-RateLimit-Remaining: 1",
 "X-RateLimit-Remaining: 0", "!Retry-After", "Retry-After: ~3600",
 "X-RateLimit-Remaining: 0\n!Retry-After", "Retry-After: ~3600"]



=== TEST 18: a cost above the bucket can never pass
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    add_header X-Retry "[$apiscale_limit_retry_after]" always;
    location /t {
        apiscale_limit zone=z rate=1r/h burst=10 cost=$arg_c;
        empty_gif;
    }
--- request eval
["GET /t?c=11", "GET /t?c=18446744073709551615",
 "GET /t?c=18446744073709551616", "GET /t?c=99999999999999999999",
 "GET /t?c=" . "9" x 200, "GET /t?c=10"]
--- error_code eval
[429, 429, 429, 429, 429, 200]
--- response_headers eval
[("!Retry-After\nX-RateLimit-Remaining: 10\nX-Retry: []") x 5,
 "!Retry-After\nX-RateLimit-Remaining: 0\nX-Retry: []"]



=== TEST 19: a cost that does not fit now waits for all of it
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=4 cost=$arg_c policy=p;
        empty_gif;
    }
--- request eval
["GET /t?c=2", "GET /t?c=4", "GET /t?c=2"]
--- error_code eval
[200, 429, 200]
--- response_headers eval
["X-RateLimit-Remaining: 2\nRateLimit: \"p\";r=2;t=7200",
 "X-RateLimit-Remaining: 2\nRetry-After: ~7200\nRateLimit: \"p\";r=2;t=7200",
 "X-RateLimit-Remaining: 0\nRateLimit: \"p\";r=0;t=~3600"]



=== TEST 20: a constant cost, and cost 0 in a constant
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=1r/h burst=4 cost=4; empty_gif; }
    location /f {
        apiscale_limit zone=z rate=1r/h policy=free cost=0;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /f", "GET /f"]
--- error_code eval
[200, 429, 200, 200]
--- response_headers eval
["X-RateLimit-Remaining: 0", "Retry-After: ~14400",
 "X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 1"]



=== TEST 21: the headers tell of the policy with the least left in proportion
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    add_header X-Vars "$apiscale_limit_policy $apiscale_limit_limit $apiscale_limit_remaining [$apiscale_limit_retry_after]" always;
    location /t {
        apiscale_limit zone=z rate=1r/h burst=100 policy=a cost=$arg_a;
        apiscale_limit zone=z rate=1r/h burst=10 policy=b cost=$arg_b;
        empty_gif;
    }
--- request eval
["GET /t?a=20&b=1", "GET /t?a=0&b=2", "GET /t?a=60&b=0", "GET /t?a=30&b=1",
 "GET /t?a=101&b=11", "GET /t?a=1&b=9"]
--- error_code eval
[200, 200, 200, 429, 429, 429]
--- response_headers eval
["X-Vars: a 100 80 []", "X-Vars: b 10 7 []", "X-Vars: a 100 20 []",
 "X-Vars: a 100 20 [~36000]", "X-Vars: a 100 20 []", "X-Vars: b 10 7 [~7200]"]



=== TEST 22: of several that reject, the one with the longest wait
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/m burst=1 policy=a;
        apiscale_limit zone=z rate=1r/h burst=1 policy=b;
        apiscale_limit zone=z rate=1r/s burst=100 policy=c;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t"]
--- error_code eval
[200, 429]
--- response_headers eval
["!Retry-After", "Retry-After: ~3600"]
--- response_body_like eval
["GIF", qr/"violated-policies":\["a","b"\]/]



=== TEST 23: rates of all periods
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=100r/m;
        apiscale_limit zone=z rate=1000r/15m;
        apiscale_limit zone=z rate=5r/h;
        apiscale_limit zone=z rate=10000r/d;
        apiscale_limit zone=z rate=3r/2w;
        apiscale_limit zone=z rate=1000000r/s;
        empty_gif;
    }
--- request
GET /t
--- response_headers
RateLimit-Policy: "100r/m";q=100;w=60, "1000r/15m";q=1000;w=900, "5r/h";q=5;w=3600, "10000r/d";q=10000;w=86400, "3r/2w";q=3;w=1209600, "1000000r/s";q=1000000;w=1
RateLimit: "100r/m";r=99;t=60, "1000r/15m";r=999;t=900, "5r/h";r=4;t=2880, "10000r/d";r=9999;t=86392, "3r/2w";r=2;t=806400, "1000000r/s";r=999999;t=1



=== TEST 24: HEAD and other methods are charged alike
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=1r/h burst=2; empty_gif; }
--- request eval
["HEAD /t", "GET /t", "HEAD /t", "POST /t\nabc"]
--- error_code eval
[200, 200, 429, 429]



=== TEST 25: many policies in one location
--- http_config eval
"apiscale_limit_zone zone=z:2m;"
--- config eval
"location /t {"
. CORE::join("", map { "apiscale_limit zone=z rate=1r/h burst=" . ($_ + 1)
                 . " policy=p$_;\n" } 1 .. 100)
. "add_header X-Policy \$apiscale_limit_policy always; empty_gif; }"
--- request eval
["GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-Policy: p1", "X-Policy: p1", "X-Policy: p1\nX-RateLimit-Limit: 2"]



=== TEST 26: return in the location answers before the limit is asked
The rewrite phase comes first; documented.
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=1r/h; return 204; }
--- request eval
["GET /t", "GET /t"]
--- error_code eval
[204, 204]
--- response_headers eval
["!X-RateLimit-Limit", "!X-RateLimit-Limit"]



=== TEST 27: a CORS preflight is not charged, another OPTIONS request is
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=1r/h; empty_gif; error_page 405 =204 @none; }
    location @none { return 204; }
--- request eval
["OPTIONS /t", "OPTIONS /t", "OPTIONS /t", "OPTIONS /t"]
--- more_headers eval
["Origin: http://a.test\nAccess-Control-Request-Method: PUT",
 "Origin: http://a.test\nAccess-Control-Request-Method: PUT",
 "Origin: http://a.test", "Origin: http://a.test"]
--- error_code eval
[204, 204, 204, 429]
--- response_headers eval
["!X-RateLimit-Limit", "!X-RateLimit-Limit", "X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0"]



=== TEST 28: the braced form of the default key is the same key
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /a { apiscale_limit zone=z rate=1r/h; empty_gif; }
    location /b { apiscale_limit zone=z key=${apiscale_client_net} rate=1r/h; empty_gif; }
--- request eval
["GET /a", "GET /b"]
--- error_code eval
[200, 429]
