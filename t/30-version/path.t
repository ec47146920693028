# the version in the path: what is found, what the location sees, and what
# the variables say; dates are far away, so that no test depends on today

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

no_root_location();

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

add_block_preprocessor(sub {
    my ($block) = @_;

    if (!defined $block->config) {
        $block->set_value('config', <<'_EOC_');
    location / {
        return 200 "$uri v=$apiscale_version s=$apiscale_version_status by=$apiscale_version_source api=$apiscale_api\n";
    }
_EOC_
    }
});

our $Versions = <<'_EOC_';
        version 1 { deprecated 2020-01-01; sunset 2999-01-01; successor 2; }
        version 2 { deprecated 2998-01-01; successor 2026-06-30; }
        version 2026-06-30 { }
        version latest { }
        version 0 { deprecated 2019-01-01; sunset 2020-01-01; }
_EOC_

our $Strip = "
    apiscale_api main { prefix /api; default 2; $Versions }
    apiscale_use_api main;
";

run_tests();

__DATA__

=== TEST 1: the version segment is found and stripped
--- http_config eval: $::Strip
--- request eval
["GET /api/v1/users", "GET /api/v2/users?a=b", "GET /api/v2026-06-30/x",
 "GET /api/vlatest/x/", "GET /api/v1", "GET /api/v1/"]
--- response_body eval
["/api/users v=1 s=deprecated by=path api=main\n",
 "/api/users v=2 s=current by=path api=main\n",
 "/api/x v=2026-06-30 s=current by=path api=main\n",
 "/api/x/ v=latest s=current by=path api=main\n",
 "/api v=1 s=deprecated by=path api=main\n",
 "/api/ v=1 s=deprecated by=path api=main\n"]



=== TEST 2: the default, where no version is asked
--- http_config eval: $::Strip
--- request eval
["GET /api", "GET /api/", "GET /api/users/v1", "GET /api/V1/x",
 "GET /api/1/x", "GET /api/video", "GET /api/v/1", "GET /api/vLatest"]
--- response_body eval
["/api v=2 s=current by=default api=main\n",
 "/api/ v=2 s=current by=default api=main\n",
 "/api/users/v1 v=2 s=current by=default api=main\n",
 "/api/V1/x v=2 s=current by=default api=main\n",
 "/api/1/x v=2 s=current by=default api=main\n",
 "/api/video v=2 s=current by=default api=main\n",
 "/api/v/1 v=2 s=current by=default api=main\n",
 "/api/vLatest v=2 s=current by=default api=main\n"]



=== TEST 3: URIs outside of the prefix are untouched
--- http_config eval: $::Strip
--- request eval
["GET /v1/users", "GET /apiv1/users", "GET /", "GET /API/v1/x", "GET /x/api/v1"]
--- response_body eval
["/v1/users v= s= by= api=\n", "/apiv1/users v= s= by= api=\n",
 "/ v= s= by= api=\n", "/API/v1/x v= s= by= api=\n",
 "/x/api/v1 v= s= by= api=\n"]



=== TEST 4: URIs that nginx normalises first
--- http_config eval: $::Strip
--- request eval
[map { "GET $_" }
 "//api//v1//x", "/api/v1/../v2/x", "/api/%761/x", "/api/v1%2Fusers",
 "/%61pi/./v1/x", "http://localhost/api/v1/x", "/api/v1/a%20b%3Fc"]
--- response_body eval
["/api/x v=1 s=deprecated by=path api=main\n",
 "/api/x v=2 s=current by=path api=main\n",
 "/api/x v=1 s=deprecated by=path api=main\n",
 "/api/users v=1 s=deprecated by=path api=main\n",
 "/api/x v=1 s=deprecated by=path api=main\n",
 "/api/x v=1 s=deprecated by=path api=main\n",
 "/api/a b?c v=1 s=deprecated by=path api=main\n"]



=== TEST 5: prefix "/", which is the default
--- http_config eval
"apiscale_api main { default 2; $::Versions } apiscale_use_api main;"
--- request eval
["GET /v1/users", "GET /v1", "GET /v1/", "GET /users", "GET /"]
--- response_body eval
["/users v=1 s=deprecated by=path api=main\n",
 "/ v=1 s=deprecated by=path api=main\n",
 "/ v=1 s=deprecated by=path api=main\n",
 "/users v=2 s=current by=default api=main\n",
 "/ v=2 s=current by=default api=main\n"]



=== TEST 6: empty segments stay when merge_slashes is off
--- http_config eval: $::Strip
--- config
    merge_slashes off;
    location / { return 200 "$uri v=$apiscale_version\n"; }
--- request eval
[map { "GET $_" }
 "/api/v1//x", "/api//v1/x", "//api/v1/x"]
--- response_body eval
["/api//x v=1\n", "/api//v1/x v=2\n", "//api/v1/x v=\n"]



=== TEST 7: rewrite path gives all URIs a version
--- http_config eval
"apiscale_api main { prefix /api; default 2; rewrite path; $::Versions }
 apiscale_use_api main;"
--- request eval
["GET /api/v1/users", "GET /api/users?x", "GET /api", "GET /api/"]
--- response_body eval
["/api/v1/users v=1 s=deprecated by=path api=main\n",
 "/api/v2/users v=2 s=current by=default api=main\n",
 "/api/v2 v=2 s=current by=default api=main\n",
 "/api/v2/ v=2 s=current by=default api=main\n"]



=== TEST 8: rewrite off touches nothing
--- http_config eval
"apiscale_api main { prefix /api/; default 2; rewrite off; $::Versions }
 apiscale_use_api main;"
--- request eval
["GET /api/v1/users", "GET /api/users"]
--- response_body eval
["/api/v1/users v=1 s=deprecated by=path api=main\n",
 "/api/users v=2 s=current by=default api=main\n"]



=== TEST 9: the longest prefix decides, in any order
--- http_config
    apiscale_use_api all inner outer;
    apiscale_api outer { prefix /api; default 1; version 1 { } }
    apiscale_api inner { prefix /api/admin; default 7; version 7 { } }
    apiscale_api all { default 9; version 9 { } }
--- request eval
["GET /api/v1/x", "GET /api/admin/v7/x", "GET /api/admin", "GET /api/adminx",
 "GET /v9/x", "GET /api/admin/x/v1"]
--- response_body eval
["/api/x v=1 s=current by=path api=outer\n",
 "/api/admin/x v=7 s=current by=path api=inner\n",
 "/api/admin v=7 s=current by=default api=inner\n",
 "/api/adminx v=1 s=current by=default api=outer\n",
 "/x v=9 s=current by=path api=all\n",
 "/api/admin/x/v1 v=7 s=current by=default api=inner\n"]



=== TEST 10: a server overrides http, off switches all off
--- http_config
    apiscale_use_api a;
    apiscale_api a { default 1; version 1 { } }
    apiscale_api b { default 2; version 2 { } }

    server {
        listen unix:$TEST_NGINX_HTML_DIR/b.sock;
        apiscale_use_api b;
        location / { return 200 "$apiscale_api\n"; }
    }

    server {
        listen unix:$TEST_NGINX_HTML_DIR/off.sock;
        apiscale_use_api off;
        location / { return 200 "$uri\n"; }
    }
--- config
    location = /a { return 200 "$apiscale_api\n"; }
    location = /b { proxy_pass http://unix:$TEST_NGINX_HTML_DIR/b.sock:/; }
    location = /off {
        proxy_pass http://unix:$TEST_NGINX_HTML_DIR/off.sock:/v1/x;
    }
--- request eval
["GET /v1/a", "GET /v1/b", "GET /v1/off"]
--- response_body eval
["a\n", "b\n", "/v1/x\n"]



=== TEST 11: default takes the first value that is not empty
--- http_config
    apiscale_api main {
        default $http_x_pin $arg_version 2;
        version 1 { }
        version 2 { }
        version 3 { }
    }
    apiscale_use_api main;
--- request eval
["GET /x?version=3", "GET /x", "GET /v1/x?version=3"]
--- more_headers eval
["X-Pin: 1", "", "X-Pin: 3"]
--- response_body eval
["/x v=1 s=current by=default api=main\n",
 "/x v=2 s=current by=default api=main\n",
 "/x v=1 s=current by=path api=main\n"]



=== TEST 12: names are whole tokens
--- http_config
    apiscale_api main {
        prefix /api;
        version 1 { }
        version 1.0 { }
        version 10 { }
        version 01 { }
    }
    apiscale_use_api main;
--- request eval
["GET /api/v1/x", "GET /api/v1.0/x", "GET /api/v10/x", "GET /api/v01/x", "GET /api/v1.0"]
--- response_body eval
["/api/x v=1 s=current by=path api=main\n",
 "/api/x v=1.0 s=current by=path api=main\n",
 "/api/x v=10 s=current by=path api=main\n",
 "/api/x v=01 s=current by=path api=main\n",
 "/api v=1.0 s=current by=path api=main\n"]



=== TEST 13: a location is chosen without the version, by its extension too
--- http_config eval: $::Strip
--- config
    location /api/ { return 200 "prefix $uri\n"; }
    location = /api/users { return 200 "exact $uri $request_uri\n"; }
    location ~ \.json$ { return 200 "regex $uri\n"; }
    location ^~ /api/v1/ { return 200 "wrong\n"; }
--- request eval
["GET /api/v1/users?a", "GET /api/v1/x.json", "GET /api/v1/y"]
--- response_body eval
["exact /api/users /api/v1/users?a\n", "regex /api/x.json\n",
 "prefix /api/y\n"]



=== TEST 14: include works in both blocks
--- user_files
>>> versions.conf
version 1 { include ../html/dates.conf; }
version 2 { }
>>> dates.conf
deprecated 2020-01-01;
--- http_config
    apiscale_api main {
        prefix /api;
        include $TEST_NGINX_HTML_DIR/versions*.conf;
    }
    apiscale_use_api main;
--- request
GET /api/v2/x
--- response_body
/api/x v=2 s=current by=path api=main



=== TEST 15: dates in all forms of RFC 3339
--- http_config
    apiscale_api main {
        prefix /api;
        version 1 { deprecated 2020-06-30T23:59:59+14:00; }
        version 2 { deprecated 2998-12-31t00:00:00.5z; sunset 2998-12-31T00:00:00.5Z; }
        version 3 { sunset 2999-01-01; deprecated 1970-01-01; }
        version 4 { deprecated 2020-02-29; }
    }
    apiscale_use_api main;
--- request eval
["GET /api/v1/x", "GET /api/v2/x", "GET /api/v3/x", "GET /api/v4/x"]
--- response_body eval
["/api/x v=1 s=deprecated by=path api=main\n",
 "/api/x v=2 s=current by=path api=main\n",
 "/api/x v=3 s=deprecated by=path api=main\n",
 "/api/x v=4 s=deprecated by=path api=main\n"]



=== TEST 16: server-level set, if and rewrite run after the version is known
--- http_config eval: $::Strip
--- config
    set $v $apiscale_version;
    rewrite ^/api/old$ /api/new last;
    location / { return 200 "$uri v=$v,$apiscale_version\n"; }
--- request
GET /api/v1/old
--- response_body
/api/new v=1,1
