# What a policy counts in (windows), whose it is (plans), when it is charged
# (stages) and what corrects it afterwards.

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

run_tests();

__DATA__

=== TEST 1: a fixed window of a week
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=3r/w window=fixed;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 200, 200, 429]
--- response_headers_like eval
["X-RateLimit-Limit: 3\nX-RateLimit-Remaining: 2\nRateLimit-Policy: \"3r/w fixed\";q=3;w=604800\nRateLimit: \"3r/w fixed\";r=2;t=\\d+",
 "X-RateLimit-Remaining: 1",
 "X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0\nRetry-After: \\d+"]



=== TEST 2: a sliding window
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=2r/d window=sliding policy=day;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 200, 429]
--- response_headers_like eval
["X-RateLimit-Limit: 2\nX-RateLimit-Remaining: 1\nRateLimit-Policy: \"day\";q=2;w=86400",
 "X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0\nRetry-After: \\d+"]



=== TEST 3: plans
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_plan free { limit hour rate=1r/h; }
    apiscale_plan pro {
        limit hour  rate=3r/h;
        limit day   rate=2r/d window=fixed;
    }
    apiscale_plan internal { }
--- config
    location /t {
        apiscale_limit zone=z plan=$arg_p default_plan=free;
        empty_gif;
    }
--- request eval
["GET /t?p=pro", "GET /t?p=free", "GET /t?p=nosuch", "GET /t",
 "GET /t?p=pro", "GET /t?p=pro", "GET /t?p=internal", "GET /t?p=internal"]
--- error_code eval
[200, 200, 429, 429, 200, 429, 200, 200]
--- response_headers eval
["RateLimit-Policy: \"hour\";q=3;w=3600, \"day\";q=2;w=86400",
 "RateLimit-Policy: \"hour\";q=1;w=3600",
 "RateLimit-Policy: \"hour\";q=1;w=3600",
 "RateLimit-Policy: \"hour\";q=1;w=3600",
 "X-RateLimit-Limit: 2",
 "X-RateLimit-Limit: 2",
 "!RateLimit-Policy", "!RateLimit-Policy"]



=== TEST 4: what the day of a plan rejects costs nothing in its hour
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_plan pro { limit hour rate=9r/h; limit day rate=1r/d; }
--- config
    location /t {
        apiscale_limit zone=z plan=pro default_plan=pro;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 429, 429]
--- response_headers_like eval
["RateLimit: \"hour\";r=8;t=\\d+, \"day\";r=0;t=\\d+",
 "RateLimit: \"hour\";r=8;t=\\d+, \"day\";r=0;t=\\d+",
 "RateLimit: \"hour\";r=8;t=\\d+, \"day\";r=0;t=\\d+"]



=== TEST 5: a part of a policy
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=10r/h scale=$arg_s;
        empty_gif;
    }
--- request eval
["GET /t?s=0.5", "GET /t", "GET /t?s=2", "GET /t?s=0", "GET /t?s=x"]
--- error_code eval
[200, 200, 200, 429, 200]
--- response_headers eval
["X-RateLimit-Limit: 5\nX-RateLimit-Remaining: 4\nRateLimit-Policy: \"10r/h\";q=5;w=3600",
 "X-RateLimit-Limit: 10\nX-RateLimit-Remaining: 7",
 "X-RateLimit-Limit: 10\nX-RateLimit-Remaining: 6",
 "X-RateLimit-Limit: 0\nX-RateLimit-Remaining: 0\n!Retry-After",
 "X-RateLimit-Limit: 10\nX-RateLimit-Remaining: 5"]



=== TEST 6: only failures count
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=2r/h count=401,5xx;
        if ($arg_s = 401) { return 401; }
        if ($arg_s = 503) { return 503; }
        if ($arg_s = 403) { return 403; }
        empty_gif;
    }
    location /login {
        apiscale_limit zone=z rate=2r/h count=401,5xx policy=login;
        auth_basic r;
        auth_basic_user_file /dev/null;
        empty_gif;
    }
--- request eval
["GET /login", "GET /login", "GET /login"]
--- error_code eval
[401, 401, 429]
--- response_headers eval
["X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0"]



=== TEST 7: other statuses are given back
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=2r/h count=401;
        empty_gif;
    }
    location /fixed {
        apiscale_limit zone=z rate=2r/d count=404 window=fixed;
        empty_gif;
    }
    location /sliding {
        apiscale_limit zone=z rate=2r/d count=404 window=sliding;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /fixed", "GET /fixed", "GET /fixed",
 "GET /sliding", "GET /sliding", "GET /sliding"]
--- error_code eval
[200, 200, 200, 200, 200, 200, 200, 200, 200]
--- response_headers eval
[("X-RateLimit-Remaining: 2") x 9]



=== TEST 8: what the origin says that it cost
--- http_config
    apiscale_limit_zone zone=z:1m;
    server {
        listen $TEST_NGINX_RAND_PORT_1;
        location / {
            add_header X-Cost $arg_c;
            empty_gif;
        }
    }
--- config
    location /t {
        apiscale_limit zone=z rate=10r/h settle=$upstream_http_x_cost cost=2;
        proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    }
--- request eval
["GET /t?c=3", "GET /t?c=0", "GET /t?c=-1", "GET /t?c=x", "GET /t",
 "GET /t?c=2147483648", "GET /t?c=20", "GET /t"]
--- error_code eval
[200, 200, 200, 200, 200, 429, 429, 429]
--- response_headers eval
["X-RateLimit-Remaining: 7", "X-RateLimit-Remaining: 7",
 "X-RateLimit-Remaining: 5", "X-RateLimit-Remaining: 3",
 "X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 1",
 "X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 1"]



=== TEST 9: what exceeds the bucket is owed
--- http_config
    apiscale_limit_zone zone=z:1m;
    server {
        listen $TEST_NGINX_RAND_PORT_1;
        location / {
            add_header X-Cost $arg_c;
            empty_gif;
        }
    }
--- config
    location /t {
        apiscale_limit zone=z rate=10r/h settle=$upstream_http_x_cost;
        proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
    }
--- request eval
["GET /t?c=20", "GET /t"]
--- error_code eval
[200, 429]
--- response_headers eval
["X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0\nRetry-After: ~3960"]



=== TEST 10: clients that were let in, by their names
--- http_config
    apiscale_limit_zone zone=z:1m;
--- user_files
>>> users
me:{PLAIN}secret
--- config
    location /t {
        apiscale_limit zone=z key=$remote_user rate=1r/h at=access;
        auth_basic r;
        auth_basic_user_file $TEST_NGINX_SERVROOT/html/users;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["", "Authorization: Basic bWU6c2VjcmV0", "Authorization: Basic bWU6c2VjcmV0",
 ""]
--- error_code eval
[401, 200, 429, 401]
--- response_headers eval
["!X-RateLimit-Limit", "X-RateLimit-Remaining: 0", "X-RateLimit-Remaining: 0",
 "!X-RateLimit-Limit"]



=== TEST 11: what a cache answers costs nothing
--- http_config
    apiscale_limit_zone zone=z:1m;
    proxy_cache_path $TEST_NGINX_SERVROOT/html/c11 keys_zone=c11:1m;
    server {
        listen $TEST_NGINX_RAND_PORT_1;
        location / { empty_gif; }
    }
--- config
    location /t {
        apiscale_limit zone=z rate=5r/h at=upstream;
        proxy_cache c11;
        proxy_cache_valid 1m;
        proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        add_header X-Cache $upstream_cache_status always;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t?b", "GET /t?b"]
--- response_headers eval
["X-Cache: MISS\nX-RateLimit-Remaining: 4",
 "X-Cache: HIT\nX-RateLimit-Remaining: 4",
 "X-Cache: HIT\nX-RateLimit-Remaining: 4",
 "X-Cache: MISS\nX-RateLimit-Remaining: 3",
 "X-Cache: HIT\nX-RateLimit-Remaining: 3"]



=== TEST 12: policies of several stages, in the order written
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=3r/h at=access  policy=late;
        apiscale_limit zone=z rate=5r/h            policy=early;
        apiscale_limit zone=z rate=9r/h at=access  policy=last;
        empty_gif;
    }
--- request
GET /t
--- response_headers
RateLimit-Policy: "late";q=3;w=3600, "early";q=5;w=3600, "last";q=9;w=3600
X-RateLimit-Limit: 3
--- response_headers_like
RateLimit: "late";r=2;t=\d+, "early";r=4;t=\d+, "last";r=8;t=\d+



=== TEST 13: requests are held, so that they leave evenly
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=10r/s burst=3 delay;
        add_header X-Status $apiscale_limit_status always;
        empty_gif;
    }
--- pipelined_requests eval
["GET /t", "GET /t", "GET /t"]
--- response_headers eval
["X-Status: PASSED", "X-Status: DELAYED", "X-Status: DELAYED"]
--- timeout: 3



=== TEST 14: settings that leave headers off still settle
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h count=404;
        apiscale_limit_headers off;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- error_code eval
[200, 200, 200]
--- response_headers eval
[("!X-RateLimit-Limit") x 3]
