# Bodies of errors: what they say, and when nginx's own or another is sent.

use lib 't/lib';
use JSON::PP;
use ApiscaleBlocks 'no_plan';

# a body that says it is JSON is JSON, of the members that there are, and its
# status is that of the response

add_response_body_check(sub {
    my ($block, $body) = @_;

    return if $body !~ /^\{/;

    my $name = $block->name;
    my $json = eval { JSON::PP->new->utf8->decode($body) };
    Test::More::ok($json, "$name - the body is JSON") or return;

    Test::More::is(CORE::join(' ', grep { !/^(?:type|detail)$/ } sort keys %$json),
                   'code instance status title violated-policies',
                   "$name - its members");
    Test::More::like($json->{status}, qr/^[45]\d\d$/,
                     "$name - status is a number");
    Test::More::is($json->{code}, 'quota-exceeded', "$name - code");
    Test::More::is($json->{type},
        'https://iana.org/assignments/http-problem-types#quota-exceeded',
        "$name - type is that of the registry");
    Test::More::like($json->{instance}, qr/^urn:request:[0-9a-f]{32}$/,
                     "$name - instance");
    Test::More::is(ref $json->{'violated-policies'}, 'ARRAY',
                   "$name - violated-policies");
});

run_tests();

__DATA__

=== TEST 1: a rejection
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h cost=2 policy=p;
        add_header X-Id $request_id always;
        empty_gif;
    }
--- request
GET /t
--- error_code: 429
--- response_headers
Content-Type: application/problem+json
!Transfer-Encoding
--- response_body_like chomp
^\{"type":"https://iana\.org/assignments/http-problem-types#quota-exceeded","title":"[^"]+","status":429,"detail":"[^"]*policy p[^"]*","code":"quota-exceeded","instance":"urn:request:[0-9a-f]{32}","violated-policies":\["p"\]\}\n$



=== TEST 2: the instance is $request_id
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h cost=2 policy=p;
        proxy_set_header X-Id $request_id;
        error_page 429 = @other;
        empty_gif;
    }
    location @other { return 200 "$request_id $status"; }
--- request
GET /t
--- error_code: 200
--- response_body_like chomp
^[0-9a-f]{32}



=== TEST 3: HEAD has the length and no body
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t { apiscale_limit zone=z rate=1r/h cost=2 policy=p; empty_gif; }
--- request
HEAD /t
--- error_code: 429
--- raw_response_headers_like eval
qr/Content-Type: application\/problem\+json\r\nContent-Length: [1-9]\d\d\r\n/
--- response_body



=== TEST 4: off, and levels
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h cost=2 policy=p;
    apiscale_problem off;
--- config
    location /t { empty_gif; }
    location /on {
        apiscale_problem on;
        empty_gif;
        location /on/off { apiscale_problem off; empty_gif; }
        location /on/on { empty_gif; }
    }
--- request eval
["GET /t", "GET /on", "GET /on/off", "GET /on/on"]
--- error_code eval
[429, 429, 429, 429]
--- response_headers eval
["Content-Type: text/html\n!Retry-After", "Content-Type: application/problem+json",
 "Content-Type: text/html", "Content-Type: application/problem+json"]
--- response_body_like eval
[qr/<title>429/, qr/^\{/, qr/<title>429/, qr/^\{/]



=== TEST 5: apiscale_problem_base does not change a registered type
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_problem_base https://example.com/problems/;
        apiscale_limit zone=z rate=1r/h cost=2 policy=p;
        empty_gif;
    }
--- request
GET /t
--- error_code: 429
--- response_body_like chomp
"type":"https://iana\.org/



=== TEST 6: errors that are not ours keep nginx's body
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    apiscale_limit zone=z rate=1r/h burst=9 policy=p;
    location /deny { deny all; }
    location /429 { return 429; }
    location /dead { proxy_pass http://127.0.0.1:1; }
--- request eval
["GET /none", "GET /deny", "GET /429", "GET /dead", "POST /index.html\nx"]
--- error_code eval
[404, 403, 429, 502, 405]
--- response_headers eval
[("Content-Type: text/html") x 5]
--- response_body_like eval
[map { qr/<title>$_/ } 404, 403, 429, 502, 405]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 7: error_page wins: named, a file, another status, a URL
The fields of the limit stay on all of them.
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit_headers ratelimit;
--- config
    apiscale_limit zone=z rate=1r/h burst=2 cost=3 policy=p;
    location /named { error_page 429 @busy; empty_gif; }
    location /answer { error_page 429 = @busy; empty_gif; }
    location @busy { default_type text/plain; return 418 "busy"; }
    location /file { error_page 429 /busy.html; empty_gif; }
    location /ok { error_page 429 =200 /busy.html; empty_gif; }
    location /503 { error_page 429 =503 /busy.html; empty_gif; }
    location /url { error_page 429 http://example.com/busy; empty_gif; }
    location /url302 { error_page 429 =302 http://example.com/busy; empty_gif; }
    location /url429 { error_page 429 =429 http://example.com/busy; empty_gif; }
    location /missing { error_page 429 /gone.html; empty_gif; }
    location /proxied { error_page 429 /x; empty_gif; }
    location /x { proxy_pass http://127.0.0.1:$TEST_NGINX_SERVER_PORT/origin; }
    location /origin { apiscale_limit off; return 200 origin; }
--- user_files
>>> busy.html
a page
--- request eval
[map { "GET /$_" } qw(named answer file ok 503 url url302 url429 missing proxied)]
--- error_code eval
[429, 418, 429, 200, 503, 302, 302, 302, 404, 429]
--- response_headers eval
my $limit = qq{\nRateLimit: "p";r=2;t=7200};
my $page = "Content-Type: text/html$limit";
["Content-Type: text/plain$limit", "Content-Type: text/plain$limit", $page,
 $page, $page, "Location: http://example.com/busy\n$page",
 "Location: http://example.com/busy\n$page",
 "Location: http://example.com/busy\n$page", $page,
 "Content-Type: text/plain$limit"]
--- response_body_like eval
[qr/^busy$/, qr/^busy$/, qr/^a page$/, qr/^a page$/, qr/^a page$/,
 qr/<title>302/, qr/<title>302/, qr/<title>302/, qr/<title>404/,
 qr/^origin$/]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 8: an error_page that itself ends in 429 has not our body
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h cost=2 policy=p;
        error_page 429 @busy;
        empty_gif;
    }
    location @busy { return 429; }
--- request
GET /t
--- error_code: 429
--- response_headers
Content-Type: text/html
--- response_body_like: <title>429



=== TEST 9: another error of an error_page
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h cost=2 policy=p;
        error_page 429 @busy;
        error_page 403 /none;
        empty_gif;
    }
    location @busy { deny all; }
--- request
GET /t
--- error_code: 403
--- response_headers
Content-Type: text/html
--- response_body_like: <title>403
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 10: gzip, charset and ssi see it as any body
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h cost=2 policy=p;
--- config
    # nginx compresses 200, 403 and 404 only
    location /gzip {
        apiscale_limit_status 404;
        gzip on;
        gzip_min_length 1;
        gzip_types application/problem+json;
        empty_gif;
    }
    location /charset {
        charset utf-8;
        charset_types application/problem+json;
        empty_gif;
    }
    location /ssi { ssi on; ssi_types *; empty_gif; }
--- request eval
["GET /gzip", "GET /gzip", "GET /charset", "GET /ssi"]
--- more_headers eval
["Accept-Encoding: gzip", "", "", ""]
--- error_code eval
[404, 404, 429, 429]
--- response_headers eval
["Content-Encoding: gzip\n!Content-Length",
 "Content-Type: application/problem+json\n!Content-Encoding",
 "Content-Type: application/problem+json; charset=utf-8",
 "Content-Type: application/problem+json"]
--- response_body_like eval
[qr/^\x1f\x8b/, qr/^\{/, qr/^\{/, qr/^\{/]



=== TEST 11: sub_filter
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h cost=2 policy=p;
--- config
    location /t {
        sub_filter assigned replaced;
        sub_filter_types *;
        empty_gif;
    }
--- request
GET /t
--- error_code: 429
--- response_body_like: satisfied as replaced quota



=== TEST 12: msie_padding and other clients' ways
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h cost=2 policy=p;
--- config
    location /t { empty_gif; }
--- request
GET /t
--- more_headers
User-Agent: Mozilla/4.0 (compatible; MSIE 6.0)
--- error_code: 429
--- response_body_like chomp
^\{.*\}\n$



=== TEST 13: HTTP/1.0 and HTTP/2
--- http2
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h cost=2 policy=p;
--- config
    location /t { empty_gif; }
--- request
GET /t
--- error_code: 429
--- response_headers
Content-Type: application/problem+json
--- response_body_like chomp
^\{.*\}\n$



=== TEST 14: names of policies are escaped
--- http_config
    apiscale_limit_zone zone=z:1m;
--- config
    location /t {
        apiscale_limit zone=z rate=1r/h cost=2 "policy=</script><b>&'";
        empty_gif;
    }
--- request
GET /t
--- error_code: 429
--- response_body_unlike: <b>



=== TEST 15: Range and conditions of the client change nothing
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h cost=2 policy=p;
--- config
    location /t { empty_gif; }
--- request eval
["GET /t", "GET /t", "GET /t"]
--- more_headers eval
["Range: bytes=0-3", "If-None-Match: *",
 "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"]
--- error_code eval
[429, 429, 429]
--- response_body_like eval
[qr/^\{.*\}\n$/, qr/^\{.*\}\n$/, qr/^\{.*\}\n$/]



=== TEST 16: without the problem body the rejection is nginx's page
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z rate=1r/h cost=2 policy=p;
    apiscale_problem off;
    server_tokens off;
--- config
    location /t { empty_gif; }
--- request
GET /t
--- error_code: 429
--- response_headers
Content-Type: text/html
--- response_body_like: <center>nginx</center>
