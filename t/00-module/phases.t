# The order in which a request meets the phase handlers, as it can be seen
# from outside: who answers when several would.

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

run_tests();

__DATA__

=== TEST 1: realip of the location comes before the limit
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        set_real_ip_from 127.0.0.1;
        real_ip_header X-Real-IP;
        apiscale_limit zone=z rate=1r/h policy=p;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["X-Real-IP: 192.0.2.1", "X-Real-IP: 192.0.2.2", "X-Real-IP: 192.0.2.1"]
--- error_code eval
[200, 200, 429]



=== TEST 2: limit_req comes before the limit: what it rejects costs nothing
--- http_config
    apiscale_limit_zone zone=z:1m;
    limit_req_zone $arg_r zone=r:1m rate=1r/m;
    limit_req_log_level info;
--- config
    location /t {
        limit_req zone=r;
        limit_req_status 430;
        apiscale_limit zone=z rate=1r/h burst=2 policy=p;
        empty_gif;
    }
--- request eval
["GET /t?r=a", "GET /t?r=a", "GET /t?r=a", "GET /t?r=b", "GET /t?r=c",
 "GET /t?r=c"]
--- error_code eval
[200, 430, 430, 200, 429, 430]
--- response_headers eval
["X-RateLimit-Remaining: 1", "!X-RateLimit-Remaining",
 "!X-RateLimit-Remaining", "X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0", "!X-RateLimit-Remaining"]



=== TEST 3: limit_conn comes before the limit
--- http_config
    apiscale_limit_zone zone=z:1m;
    limit_conn_zone $server_name zone=C:1m;
    limit_conn_log_level info;
--- config
    location /t {
        limit_conn C 1;
        limit_conn_status 431;
        apiscale_limit zone=z rate=1r/h burst=1 cost=2 policy=p;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/u;
    }
    location /u {
        limit_conn C 1;
        limit_conn_status 431;
        apiscale_limit zone=z rate=1r/h policy=q;
        proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/v;
    }
    location /v {
        limit_conn C 1;
        limit_conn_status 431;
        apiscale_limit zone=z rate=1r/h cost=2 policy=r;
        empty_gif;
    }
--- request eval
["GET /t", "GET /u"]
--- error_code eval
[429, 431]



=== TEST 4: the limit comes before access: what it rejects is not asked for a password
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h burst=1 policy=p;
        deny all;
    }
--- request eval
["GET /t", "GET /t"]
--- error_code eval
[403, 429]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 5: rewrite and return come before the limit
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        if ($arg_a) { return 403; }
        apiscale_limit zone=z rate=1r/h burst=1 policy=p;
        empty_gif;
    }
--- request eval
["GET /t?a=1", "GET /t?a=1", "GET /t", "GET /t", "GET /t?a=1"]
--- error_code eval
[403, 403, 200, 429, 403]



=== TEST 6: the version comes before the limit
What has no version is answered before a location, and its limit, is found.
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_api a {
        prefix /api;
        source path;
        default 1;
        version 1 { }
        version 2 { }
    }
--- config
    apiscale_use_api a;
    apiscale_limit zone=z rate=1r/h burst=9 policy=server;
    location /api/t {
        apiscale_limit zone=z key=$apiscale_version rate=1r/h burst=2 policy=p;
        empty_gif;
    }
--- request eval
["GET /api/v3/t", "GET /api/v1/t", "GET /api/v1/t", "GET /api/v1/t",
 "GET /api/v2/t", "GET /api/t"]
--- error_code eval
[404, 200, 200, 429, 200, 429]
--- response_headers eval
["!X-RateLimit-Limit\nContent-Type: application/problem+json",
 "X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 0",
 "X-RateLimit-Remaining: 0", "X-RateLimit-Remaining: 1",
 "X-RateLimit-Remaining: 0"]



=== TEST 7: after the version's rejection no policy is asked
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_api a { prefix /api; source path; default 1; version 1 { } }
--- config
    apiscale_use_api a;
    error_page 404 /none;
    location /none {
        apiscale_limit zone=z rate=1r/h burst=1 policy=none;
        return 404 "";
    }
    location /page {
        apiscale_limit zone=z rate=1r/h burst=1 policy=none;
        empty_gif;
    }
--- request eval
["GET /api/v3/t", "GET /api/v3/t", "GET /page"]
--- error_code eval
[404, 404, 200]
--- response_headers eval
["!X-RateLimit-Limit", "!X-RateLimit-Limit", "X-RateLimit-Remaining: 0"]



=== TEST 8: measured are those that are rejected, too
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_metrics_zone zone=m:1m;
--- config
    location /t {
        apiscale_metrics on;
        apiscale_limit zone=z rate=1r/h policy=p;
        empty_gif;
    }
    location /status { apiscale_metrics off; apiscale_status; }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /status?format=json"]
--- error_code eval
[200, 429, 429, 200]
--- response_body_like eval
["GIF", "429", "429", qr/"policy":"p","rate":"1r\/h","window":"rolling","burst":1,"passed":1,"rejected":2,"rejected_dry_run":0/]



=== TEST 9: a URI that is a directory, mirror and try_files come after the limit
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h policy=p cost=2;
        mirror /mirror;
        try_files /none =404;
    }
    location /mirror { proxy_pass http://127.0.0.1:1; }
--- request
GET /t
--- error_code: 429



=== TEST 10: a consumer is asked for after the limit and before passwords
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_consumers zone=c:1m file=$TEST_NGINX_HTML_DIR/c.json;
--- user_files
>>> c.json
{"consumers":[{"id":"a","keys":["sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"]}]}
--- config
    location /t {
        apiscale_limit zone=z key=k$apiscale_consumer rate=1r/h burst=2 policy=p;
        apiscale_consumer required;
        auth_basic realm;
        auth_basic_user_file /dev/null;
        empty_gif;
    }
--- request eval
["GET /t", "GET /t", "GET /t", "GET /t", "GET /t", "GET /t"]
--- more_headers eval
["", "X-API-Key: no", "", "X-API-Key: key", "X-API-Key: key", "X-API-Key: key"]
--- error_code eval
[401, 401, 429, 401, 401, 429]
--- response_headers eval
["WWW-Authenticate: ApiKey", "WWW-Authenticate: ApiKey", "!WWW-Authenticate",
 "WWW-Authenticate: Basic realm=\"realm\"",
 "WWW-Authenticate: Basic realm=\"realm\"", "!WWW-Authenticate"]
