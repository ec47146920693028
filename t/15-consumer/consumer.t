# Who calls: variables, apiscale_consumer, and what other modules have to do
# with it.

use lib 't/lib';
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use ApiscaleBlocks 'no_plan';

no_root_location();

$ENV{TEST_NGINX_HTML_DIR} = html_dir();

our $Consumers = <<'_EOC_';
    apiscale_consumers zone=c:1m file=$TEST_NGINX_HTML_DIR/c.json;
_EOC_

our $Files = ">>> c.json\n" . JSON::PP->new->utf8->canonical->pretty->encode({
    consumers => [
        { id => 'acme', plan => 'pro', version => '2',
          keys => ['sha256:' . sha256_hex('k-acme'),
                   'sha256:' . uc sha256_hex('k-acme-2')] },
        { id => 'bolt', keys => ['sha256:' . sha256_hex('k-bolt')] },
        { id => "\x{43a}\x{43e}\"\\x", plan => 'a/b c',
          keys => ['sha256:' . sha256_hex('k-odd')], note => [1, { a => 2 }] },
        { id => 'long',
          keys => ['sha256:' . sha256_hex('x' x 7000),
                   'sha256:' . sha256_hex('y' x 65536)] },
        { id => 'keyless', plan => 'free' },
    ],
    comment => { made => [1, 2, 3], by => 'hand' },
}) . ">>> htpasswd\nuser:{PLAIN}secret\n";

our $Say = <<'_EOC_';
    location /say {
        return 200 "[$apiscale_consumer] [$apiscale_plan] [$apiscale_consumer_version]\n";
    }
_EOC_

run_tests();

__DATA__

=== TEST 1: variables
--- http_config eval: $::Consumers
--- user_files eval: $::Files
--- config eval: $::Say
--- request eval
[("GET /say") x 7]
--- more_headers eval
["X-API-Key: k-acme", "X-API-Key: k-acme-2", "X-API-Key: k-bolt",
 "X-API-Key: k-odd", "X-API-Key: k-acm", "", "X-API-Key: "]
--- response_body eval
["[acme] [pro] [2]\n", "[acme] [pro] [2]\n", "[bolt] [] []\n",
 "[\xd0\xba\xd0\xbe\"\\x] [a/b c] []\n", "[] [] []\n", "[] [] []\n",
 "[] [] []\n"]



=== TEST 2: again and again, from what a worker remembers
--- http_config eval: $::Consumers
--- user_files eval: $::Files
--- config eval: $::Say
--- pipelined_requests eval
[map { "GET /say" } 1 .. 6]
--- more_headers eval
["X-API-Key: k-acme", "X-API-Key: k-bolt", "X-API-Key: k-acme",
 "X-API-Key: none", "X-API-Key: k-bolt", "X-API-Key: none"]
--- response_body eval
["[acme] [pro] [2]\n", "[bolt] [] []\n", "[acme] [pro] [2]\n",
 "[] [] []\n", "[bolt] [] []\n", "[] [] []\n"]



=== TEST 3: without apiscale_consumers nobody is known
--- config eval: $::Say
--- request
GET /say
--- more_headers
X-API-Key: k-acme
--- response_body
[] [] []



=== TEST 4: apiscale_consumer_key, by level
--- http_config eval
$::Consumers . '    apiscale_consumer_key $arg_key;
    server {
        listen unix:$TEST_NGINX_HTML_DIR/other.sock;
        apiscale_consumer_key "k-${arg_a}";
        ' . $::Say . '
    }'
--- user_files eval: $::Files
--- config eval
$::Say . ' location /other { proxy_pass http://unix:$TEST_NGINX_HTML_DIR/other.sock:/say?$args; }'
--- request eval
["GET /say?key=k-bolt", "GET /say", "GET /other?a=acme&key=k-bolt",
 "GET /other?key=k-bolt"]
--- more_headers
X-API-Key: k-acme
--- response_body eval
["[bolt] [] []\n", "[] [] []\n", "[acme] [pro] [2]\n", "[] [] []\n"]



=== TEST 5: a key of many variables that are empty is empty
--- http_config eval
$::Consumers . '    apiscale_consumer_key $arg_a$arg_b;'
--- user_files eval: $::Files
--- config
    location /r { apiscale_consumer required; empty_gif; }
--- request eval
["GET /r", "GET /r?a=k-ac&b=me", "GET /r?b=x"]
--- error_code eval
[401, 200, 401]
--- response_body_like eval
["consumer-required", "GIF", "consumer-unknown"]



=== TEST 6: a key that depends on who calls is of nobody
--- http_config eval
$::Consumers . '    apiscale_consumer_key k-$apiscale_consumer;'
--- user_files eval: $::Files
--- config eval: $::Say
--- request
GET /say
--- response_body
[] [] []



=== TEST 7: required and optional, by level
--- http_config eval
$::Consumers . '    apiscale_consumer required;'
--- user_files eval: $::Files
--- config
    location /r { empty_gif; }
    location /o { apiscale_consumer optional; empty_gif; }
    location /o/r { apiscale_consumer required; empty_gif; }
--- request eval
["GET /r", "GET /r", "GET /r", "GET /o", "GET /o/r", "GET /o"]
--- more_headers eval
["", "X-API-Key: k-bolt", "X-API-Key: no", "", "", "X-API-Key: no"]
--- error_code eval
[401, 200, 401, 200, 401, 200]
--- response_headers eval
["WWW-Authenticate: ApiKey\nContent-Type: application/problem+json",
 "!WWW-Authenticate", "WWW-Authenticate: ApiKey", "!WWW-Authenticate",
 "WWW-Authenticate: ApiKey", "!WWW-Authenticate"]
--- response_body_like eval
[qr/^\{"title":"API key required","status":401,"code":"consumer-required","instance":"urn:request:[0-9a-f]{32}"\}$/,
 "GIF",
 qr/^\{"title":"Unknown API key","status":401,"code":"consumer-unknown",/,
 "GIF", "consumer-required", "GIF"]



=== TEST 8: the key is not logged
--- log_level: info
--- http_config eval: $::Consumers
--- user_files eval: $::Files
--- config
    location /r { apiscale_consumer required; empty_gif; }
--- request
GET /r
--- more_headers
X-API-Key: topsecret
--- error_code: 401
--- error_log
the API key is of no consumer
--- no_error_log
topsecret
[error]



=== TEST 9: a CORS preflight needs no key, another OPTIONS does
--- http_config eval: $::Consumers
--- user_files eval: $::Files
--- config
    location /s { apiscale_consumer required; try_files /none /x; }
    location /x { return 204; }
--- request eval
["OPTIONS /s", "OPTIONS /s", "OPTIONS /s"]
--- more_headers eval
["Origin: https://a.example\nAccess-Control-Request-Method: GET",
 "Origin: https://a.example", ""]
--- error_code eval
[204, 401, 401]



=== TEST 10: error_page wins
--- http_config eval: $::Consumers
--- user_files eval: $::Files . ">>> sorry.html\nsorry\n"
--- config
    location /f { apiscale_consumer required; error_page 401 /sorry.html; empty_gif; }
    location /n { apiscale_consumer required; error_page 401 = @n; empty_gif; }
    location @n { return 418 "named\n"; }
    location /again { apiscale_consumer required; error_page 401 /again/x; empty_gif; }
    location /sorry.html { }
--- request eval
["GET /f", "GET /n", "GET /again"]
--- error_code eval
[401, 418, 401]
--- response_headers eval
["WWW-Authenticate: ApiKey\nContent-Type: text/html",
 "WWW-Authenticate: ApiKey", "WWW-Authenticate: ApiKey"]
--- response_body_like eval
["^sorry\n\$", "^named\n\$", "consumer-required"]



=== TEST 11: satisfy any with auth_basic: what lets in, and what is left of it
--- http_config eval
$::Consumers . '    apiscale_metrics_zone zone=m:1m;'
--- user_files eval: $::Files
--- config
    apiscale_metrics on;
    location /a {
        satisfy any;
        auth_basic realm;
        auth_basic_user_file $TEST_NGINX_HTML_DIR/htpasswd;
        apiscale_consumer required;
        empty_gif;
    }
    location /status { apiscale_metrics off; apiscale_status; }
--- request eval
["GET /a", "GET /a", "GET /a", "GET /a", "GET /status"]
--- more_headers eval
["", "X-API-Key: k-acme", "Authorization: Basic dXNlcjpzZWNyZXQ=",
 "X-API-Key: no\nAuthorization: Basic dXNlcjpzZWNyZXQ=", ""]
--- error_code eval
[401, 200, 200, 200, 200]
--- response_headers eval
["WWW-Authenticate: ApiKey, Basic realm=\"realm\"",
 "!WWW-Authenticate", "!WWW-Authenticate", "!WWW-Authenticate", ""]
--- response_body_like eval
["consumer-required", "GIF", "GIF", "GIF",
 qr/"location":"\/a","requests":\{"total":4,"1xx":0,"2xx":3,"3xx":0,"4xx":1,"5xx":0,"other":0,"rejected":1,/]



=== TEST 12: satisfy any with allow, deny and auth_request
--- http_config eval: $::Consumers
--- user_files eval: $::Files
--- config
    location /allow { satisfy any; allow all; apiscale_consumer required; empty_gif; }
    location /deny { satisfy any; deny all; apiscale_consumer required; empty_gif; }
    location /ask { satisfy any; auth_request /auth; apiscale_consumer required; empty_gif; }
    location /auth { internal; if ($http_x_ok) { return 204; } return 403; }
--- request eval
["GET /allow", "GET /deny", "GET /deny", "GET /ask", "GET /ask", "GET /ask"]
--- more_headers eval
["", "", "X-API-Key: k-acme", "X-Ok: 1", "", "X-API-Key: k-bolt"]
--- error_code eval
[200, 401, 200, 200, 401, 200]
--- response_headers eval
["!WWW-Authenticate", "WWW-Authenticate: ApiKey", "!WWW-Authenticate",
 "!WWW-Authenticate", "WWW-Authenticate: ApiKey", "!WWW-Authenticate"]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 13: satisfy all
--- http_config eval: $::Consumers
--- user_files eval: $::Files
--- config
    location /a {
        auth_basic realm;
        auth_basic_user_file $TEST_NGINX_HTML_DIR/htpasswd;
        apiscale_consumer required;
        empty_gif;
    }
    location /deny { deny all; apiscale_consumer required; empty_gif; }
--- request eval
["GET /a", "GET /a", "GET /a", "GET /a", "GET /deny"]
--- more_headers eval
["", "X-API-Key: k-acme", "Authorization: Basic dXNlcjpzZWNyZXQ=",
 "X-API-Key: k-acme\nAuthorization: Basic dXNlcjpzZWNyZXQ=",
 "X-API-Key: k-acme"]
--- error_code eval
[401, 401, 401, 200, 403]
--- response_headers eval
["WWW-Authenticate: ApiKey", "WWW-Authenticate: Basic realm=\"realm\"",
 "WWW-Authenticate: ApiKey", "!WWW-Authenticate", "!WWW-Authenticate"]
--- no_error_log
[alert]
[crit]
[emerg]



=== TEST 14: let in by another, an error of the origin is the origin's
The limit of its error page is charged, since nothing was rejected.
--- http_config eval
$::Consumers . '    apiscale_limit_zone zone=z:1m;'
--- user_files eval: $::Files
--- config
    location /a {
        satisfy any;
        allow all;
        apiscale_consumer required;
        error_page 404 = @e;
        root $TEST_NGINX_HTML_DIR/none;
        log_not_found off;
    }
    location @e {
        apiscale_limit zone=z rate=1r/h burst=2 key=k policy=p;
        root $TEST_NGINX_HTML_DIR;
        try_files /c.json =404;
    }
--- request
GET /a
--- error_code: 200
--- response_headers
X-RateLimit-Remaining: 1
!WWW-Authenticate



=== TEST 15: auth_delay
--- http_config eval: $::Consumers
--- user_files eval: $::Files
--- config
    location /r { auth_delay 50ms; apiscale_consumer required; empty_gif; }
--- request
GET /r
--- error_code: 401
--- response_body_like: consumer-required



=== TEST 16: plan and id in a map, as the key of a limit, in a header
--- http_config eval
$::Consumers . '
    apiscale_limit_zone zone=z:1m;
    map $apiscale_plan $cost { default 2; pro 1; }'
--- user_files eval: $::Files
--- config
    location /l {
        apiscale_limit zone=z key=$apiscale_consumer rate=2r/h policy=p cost=$cost;
        add_header X-Who $apiscale_consumer always;
        empty_gif;
    }
--- request eval
[("GET /l") x 7]
--- more_headers eval
["X-API-Key: k-acme", "X-API-Key: k-acme-2", "X-API-Key: k-acme",
 "X-API-Key: k-bolt", "X-API-Key: k-bolt", "", "X-API-Key: no"]
--- error_code eval
[200, 200, 429, 200, 429, 200, 200]
--- response_headers eval
["X-Who: acme", "X-Who: acme", "X-Who: acme", "X-Who: bolt", "X-Who: bolt",
 "!X-Who", "!X-Who"]



=== TEST 17: one answer for the whole request: redirects and subrequests
--- http_config eval
$::Consumers . '    apiscale_consumer_key $arg_key;'
--- user_files eval
$::Files . qq{>>> s.html\n<!--#include virtual="/sub.html?key=k-bolt" -->\n}
    . qq{>>> sub.html\n[<!--#echo var="apiscale_consumer" -->]\n}
--- config
    location /try { set $who $apiscale_consumer; try_files /none /then?key=k-bolt; }
    location /then { return 200 "[$who] [$apiscale_consumer]\n"; }
    location /late { try_files /none /then?key=k-bolt; }
    location /s.html { ssi on; }
    location /sub.html { ssi on; }
--- request eval
["GET /try?key=k-acme", "GET /late?key=k-acme", "GET /s.html?key=k-acme"]
--- response_body eval
["[acme] [acme]\n", "[] [bolt]\n", "[acme]\n\n"]



=== TEST 18: who calls is known before a version is chosen
--- http_config eval
$::Consumers . '
    apiscale_api a {
        prefix /api;
        default $apiscale_consumer_version 1;
        version 1 { }
        version 2 { }
    }
    apiscale_use_api a;'
--- user_files eval: $::Files
--- config
    location /api { return 200 "$apiscale_version\n"; }
--- request eval
["GET /api/x", "GET /api/x", "GET /api/v1/x"]
--- more_headers eval
["X-API-Key: k-acme", "X-API-Key: k-bolt", "X-API-Key: k-acme"]
--- response_body eval
["2\n", "1\n", "1\n"]



=== TEST 19: long keys
--- http_config eval: $::Consumers . "large_client_header_buffers 4 16k;"
--- user_files eval: $::Files
--- config eval: $::Say
--- request eval
["GET /say", "GET /say"]
--- more_headers eval
["X-API-Key: " . "x" x 7000, "X-API-Key: " . "x" x 6999]
--- response_body eval
["[long] [] []\n", "[] [] []\n"]



=== TEST 20: a key of 64 KB
--- http_config eval: $::Consumers . "large_client_header_buffers 4 128k;"
--- user_files eval: $::Files
--- config eval: $::Say
--- request eval
["GET /say", "GET /say"]
--- more_headers eval
["X-API-Key: " . "y" x 65536, "X-API-Key: " . "y" x 65535]
--- response_body eval
["[long] [] []\n", "[] [] []\n"]



=== TEST 21: HTTP/2
--- http2
--- http_config eval: $::Consumers
--- user_files eval: $::Files
--- config
    location /r { apiscale_consumer required; empty_gif; }
--- request
GET /r
--- error_code: 401
--- response_headers
WWW-Authenticate: ApiKey
--- response_body_like: consumer-required
