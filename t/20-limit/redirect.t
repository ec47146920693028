# Internal redirects and subrequests: a policy is charged once a request.

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

run_tests();

__DATA__

=== TEST 1: try_files to a named location: what was charged is not charged again
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=9 policy=all;
    location /t {
        apiscale_limit inherit;
        apiscale_limit zone=z rate=1r/h burst=8 policy=t;
        try_files /none @named;
    }
    location @named {
        apiscale_limit inherit;
        apiscale_limit zone=z rate=1r/h burst=7 policy=named;
        empty_gif;
    }
    location /u { empty_gif; }
--- request eval
["GET /t", "GET /t", "GET /u"]
--- response_headers eval
["RateLimit-Policy: \"all\";q=9;w=32400, \"t\";q=8;w=28800, \"named\";q=7;w=25200\nRateLimit: \"all\";r=8;t=28800, \"t\";r=7;t=25200, \"named\";r=6;t=21600\nX-RateLimit-Limit: 7",
 "RateLimit: \"all\";r=7;t=25200, \"t\";r=6;t=21600, \"named\";r=5;t=18000",
 "X-RateLimit-Remaining: 6"]



=== TEST 2: a policy that the second location rejects
What the first one charged stays charged: the request has come that far.
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    add_header X-Status $apiscale_limit_status always;
    location /t {
        apiscale_limit zone=z rate=1r/h burst=8 policy=t;
        try_files /none @named;
    }
    location @named {
        apiscale_limit zone=z rate=1r/h burst=1 policy=named;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 429, 429]
--- response_headers eval
["X-Status: PASSED\nX-RateLimit-Limit: 1",
 "X-Status: REJECTED\nX-RateLimit-Limit: 1\nRateLimit: \"t\";r=6;t=21600, \"named\";r=0;t=~3600\nRetry-After: ~3600",
 "X-Status: REJECTED\nX-RateLimit-Limit: 1\nRateLimit: \"t\";r=5;t=18000, \"named\";r=0;t=~3600\nRetry-After: ~3600"]
--- response_body_like eval
["GIF", qr/"violated-policies":\["named"\]/, qr/"violated-policies":\["named"\]/]



=== TEST 3: an index redirect charges once
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h burst=5 policy=p;
--- config
--- request eval
["GET /", "GET /index.html", "GET /"]
--- response_headers eval
["X-RateLimit-Remaining: 4", "X-RateLimit-Remaining: 3",
 "X-RateLimit-Remaining: 2"]



=== TEST 4: X-Accel-Redirect
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=5 policy=p;
        apiscale_limit zone=z rate=1r/h burst=6 policy=t;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/x;
    }
    location /x { add_header X-Accel-Redirect /inner; return 200; }
    location /inner {
        internal;
        apiscale_limit zone=z rate=1r/h burst=5 policy=p;
        apiscale_limit zone=z rate=1r/h burst=2 policy=inner;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["RateLimit: \"p\";r=4;t=14400, \"t\";r=5;t=18000, \"inner\";r=1;t=3600",
 "RateLimit: \"p\";r=3;t=10800, \"t\";r=4;t=14400, \"inner\";r=0;t=~3600",
 "RateLimit: \"p\";r=2;t=7200, \"t\";r=3;t=10800, \"inner\";r=0;t=~3600"]



=== TEST 5: rewrite last, before and within the location
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h burst=5 policy=p;
--- config
    rewrite ^/a$ /t;
    location /b { rewrite ^ /t last; }
    location /t { empty_gif; }
--- request eval
["GET /a", "GET /b", "GET /t"]
--- response_headers eval
["X-RateLimit-Remaining: 4", "X-RateLimit-Remaining: 3",
 "X-RateLimit-Remaining: 2"]



=== TEST 6: error_page of an error that is not ours: the rest is checked
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=5 policy=t;
        deny all;
        error_page 403 /denied;
    }
    location /denied {
        apiscale_limit zone=z rate=1r/h burst=1 policy=denied;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t"]
--- error_code eval
[403, 429]
--- response_headers eval
["RateLimit: \"t\";r=4;t=14400, \"denied\";r=0;t=~3600",
 "RateLimit: \"t\";r=3;t=10800, \"denied\";r=0;t=~3600"]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 7: after a rejection of our own none is checked
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=1 policy=t;
        error_page 429 /busy;
        empty_gif;
    }
    location /busy {
        apiscale_limit zone=z rate=1r/h burst=2 policy=busy;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t", "GET /busy"]
--- error_code eval
[200, 429, 429, 429, 429, 200]
--- response_headers eval
["RateLimit: \"t\";r=0;t=~3600",
 ("RateLimit: \"t\";r=0;t=~3600\nRetry-After: ~3600\nContent-Type: image/gif") x 4,
 "RateLimit: \"busy\";r=1;t=3600"]



=== TEST 8: a first location where no policy applied
The policies and the headers of the second are told then.
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z key=$arg_none rate=1r/h burst=3 policy=first;
        apiscale_limit_headers ratelimit;
        try_files /none @named;
    }
    location @named {
        apiscale_limit zone=z rate=1r/h burst=7 policy=named;
        apiscale_limit_headers x-ratelimit=delta ratelimit;
        add_header X-Status $apiscale_limit_status;
        empty_gif;
    }
--- request
GET /t
--- response_headers
RateLimit-Policy: "named";q=7;w=25200
RateLimit: "named";r=6;t=21600
X-RateLimit-Limit: 7
X-RateLimit-Reset: ~3600
X-Status: PASSED



=== TEST 9: a second location where no policy applies
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=7 policy=t;
        try_files /none @named;
    }
    location @named {
        apiscale_limit off;
        add_header X-Status $apiscale_limit_status;
        empty_gif;
    }
--- request
GET /t
--- response_headers
RateLimit: "t";r=6;t=21600
X-Status: PASSED



=== TEST 10: subrequests of auth_request, ssi and mirror are not limited
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=2 policy=p;
    location /auth {
        auth_request /check;
        empty_gif;
    }
    location /check {
        apiscale_limit zone=z rate=1r/h burst=1 policy=check;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/ok;
    }
    location /ok { apiscale_limit off; return 204; }
    location /ssi.html {
        ssi on;
        ssi_types text/plain;
        root html;
    }
    location /inc { apiscale_limit zone=z rate=1r/h burst=1 policy=inc; root html; }
    location /mirrored {
        apiscale_limit zone=z rate=1r/h burst=2 policy=q;
        mirror /mirror;
        empty_gif;
    }
    location /mirror {
        apiscale_limit zone=z rate=1r/h burst=1 policy=mirror;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/ok;
    }
--- user_files
>>> ssi.html
a<!--#include virtual="/inc/1" -->b<!--#include virtual="/inc/1" -->c
>>> inc/1
X
--- request eval
["GET /auth", "GET /ssi.html", "GET /ssi.html", "GET /mirrored", "GET /mirrored",
 "GET /inc/1"]
--- error_code eval
[200, 200, 429, 200, 200, 200]
--- response_headers eval
["RateLimit: \"p\";r=1;t=3600", "RateLimit: \"p\";r=0;t=~3600",
 "RateLimit: \"p\";r=0;t=~3600", "RateLimit: \"q\";r=1;t=3600",
 "RateLimit: \"q\";r=0;t=~3600", "RateLimit: \"inc\";r=0;t=~3600"]
--- response_body_like eval
["GIF", qr/^aX\nbX\nc$/, "429", "GIF", "GIF", "X"]



=== TEST 11: satisfy any with auth_basic is asked behind the limit
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=3 policy=p;
        satisfy any;
        deny all;
        auth_basic realm;
        auth_basic_user_file ../html/users;
        empty_gif;
    }
--- user_files
>>> users
u:{PLAIN}p
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["", "Authorization: Basic dTp4", "Authorization: Basic dTpw", "",
 "Authorization: Basic dTpw"]
--- error_code eval
[401, 401, 200, 429, 429]
--- response_headers eval
["WWW-Authenticate: Basic realm=\"realm\"\nX-RateLimit-Remaining: 2\nContent-Type: text/html",
 "WWW-Authenticate: Basic realm=\"realm\"\nX-RateLimit-Remaining: 1",
 "!WWW-Authenticate\nX-RateLimit-Remaining: 0",
 "!WWW-Authenticate\nRetry-After: ~3600\nContent-Type: application/problem+json",
 "!WWW-Authenticate\nRetry-After: ~3600"]
--- no_error_log
[alert]
[crit]
[emerg]
