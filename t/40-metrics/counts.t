# What is counted, and under which name.

use Test::Nginx::Socket 'no_plan';
use Test::More;
use ApiscaleStatus;

add_status_checks();
no_shuffle();
run_tests();
all_checked();

__DATA__

=== TEST 1: classes of status, exactly
--- http_config
apiscale_metrics_zone zone=counts1:1m;
--- config
location /1/ {
    apiscale_metrics on;
    location = /1/200 { return 200 "ok\n"; }
    location = /1/204 { return 204; }
    location = /1/301 { return 301 /; }
    location = /1/404 { return 404; }
    location = /1/503 { return 503; }
    location = /1/999 { return 999 "odd\n"; }
}
location = /off { return 200 "ok\n"; }
location = /status { apiscale_status; }
--- request eval
[
    ("GET /1/200") x 7, ("GET /1/204") x 3, ("GET /1/301") x 2,
    ("GET /1/404") x 4, ("GET /1/503") x 5, ("GET /1/999") x 1,
    ("GET /1/none") x 1, "GET /off", "GET /status"
]
--- error_code eval
[(200) x 7, (204) x 3, (301) x 2, (404) x 4, (503) x 5, 999, 404, 200, 200]
--- no_error_log
[alert]
[crit]
[emerg]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    my %want = (
        '= /1/200' => ['2xx', 7], '= /1/204' => ['2xx', 3],
        '= /1/301' => ['3xx', 2], '= /1/404' => ['4xx', 4],
        '= /1/503' => ['5xx', 5], '= /1/999' => ['other', 1],
        '/1/' => ['4xx', 1],
    );
    is_deeply([sort map { $_->{location} } @{$s->{locations}}],
              [sort keys %want], "$name - locations");
    for my $l (keys %want) {
        my ($class, $n) = @{$want{$l}};
        my %none = map { $_ => 0 } qw(1xx 2xx 3xx 4xx 5xx other rejected
                                      aborted);
        is_deeply(location_of($s, $l)->{requests},
                  {%none, total => $n, $class => $n}, "$name - $l");
        is(location_of($s, $l)->{latency}{start}{count}, $n,
           "$name - $l: all in the latency");
    }
}



=== TEST 2: names of locations, as written
--- http_config
apiscale_metrics_zone zone=counts2:2m;
--- config
apiscale_metrics on;
location /2p { return 204; location /2p/nested { return 204; } }
location = /2e { return 204; }
location ^~ /2n { return 204; }
location ~ ^/2r { return 204; }
location ~* ^/2c { return 204; }
location ~*^/2g { return 204; }
location /2t { try_files /none @2named; }
location @2named { return 204; }
location /2i { if ($arg_a) { return 202; } return 204; }
location = /2x { if ($arg_a) { return 202; } return 204; }
location /2s { apiscale_metrics off; apiscale_status; }
--- request eval
[(map { "GET $_" } qw(/2p /2p/nested/x /2e /2n /2r /2C /2g /2t /2i /2i?a=1
                      /2x?a=1)),
 "GET /2s"]
--- error_code eval
[(204) x 9, 202, 202, 200]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is_deeply(totals($s, 1), {
        'localhost|' => 0,
        'localhost|/2p' => 1, 'localhost|/2p/nested' => 1,
        'localhost|= /2e' => 1, 'localhost|^~ /2n' => 1,
        'localhost|~ ^/2r' => 1, 'localhost|~* ^/2c' => 1,
        'localhost|~* ^/2g' => 1,
        'localhost|/2t' => 1, 'localhost|@2named' => 0,
        'localhost|/2i' => 2, 'localhost|= /2x' => 1,
    }, "$name - names");
}



=== TEST 3: equal names are one series, servers are told apart
--- http_config
apiscale_metrics_zone zone=counts3:2m;
apiscale_metrics on;
server {
    listen $TEST_NGINX_SERVER_PORT;
    server_name three.test also.test;
    location /3a { location ~ "\.x$" { return 204; } return 204; }
    location /3b { location ~ "\.x$" { return 204; } return 204; }
}
server {
    listen $TEST_NGINX_SERVER_PORT;
    server_name ~^re;
    location /3a { return 204; }
}
--- config
apiscale_metrics off;
location /3s { apiscale_status; }
--- request eval
["GET /3a/.x", "GET /3b/.x", "GET /3a", "GET /3a", "GET /3s"]
--- more_headers eval
["Host: three.test", "Host: also.test", "Host: also.test", "Host: rex.test",
 ""]
--- error_code eval
[204, 204, 204, 204, 200]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is_deeply(totals($s, 1), {
        'three.test|' => 0, 'three.test|/3a' => 1, 'three.test|/3b' => 0,
        'three.test|~ \.x$' => 2, '~^re|' => 0, '~^re|/3a' => 1,
    }, "$name - names");
}



=== TEST 4: an error page does not move a request to another series
--- http_config
apiscale_metrics_zone zone=counts4:2m;
--- config
apiscale_metrics on;
error_page 403 /4err;
error_page 404 =200 /4err;
error_page 405 413 @4named;
location /4a { deny all; return 200; }
location /4b { return 404; }
location /4c { error_page 404 =200 /4err; recursive_error_pages on;
               return 404; }
location /4d { return 405; }
location /4e { deny all; }
location /4err { return 200 "sorry\n"; }
location @4named { return 200 "sorry\n"; }
location /4s { apiscale_metrics off; apiscale_status; }
--- request eval
["GET /4b", "GET /4c", "GET /4d", "GET /4e", "GET /4s"]
--- error_code eval
[200, 200, 405, 403, 200]
--- no_error_log
[alert]
[crit]
[emerg]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is_deeply(totals($s), { '' => 0, '/4a' => 0, '/4b' => 1, '/4c' => 1,
                       '/4d' => 1, '/4e' => 1, '/4err' => 0,
                       '@4named' => 0 }, "$name - names");
}



=== TEST 5: rewrites to another location do
--- http_config
apiscale_metrics_zone zone=counts5:2m;
--- config
apiscale_metrics on;
location /5old { rewrite ^ /5new last; }
location /5new { return 204; }
location /5off { apiscale_metrics off; rewrite ^ /5new last; }
location /5s { apiscale_metrics off; apiscale_status; }
--- request eval
["GET /5old", "GET /5off", "GET /5s"]
--- error_code eval
[204, 204, 200]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is_deeply(totals($s), { '' => 0, '/5old' => 0, '/5new' => 2 },
              "$name - names");
}



=== TEST 6: what is answered before a location is chosen is the server's
--- http_config
apiscale_metrics_zone zone=counts6:2m;
--- config
apiscale_metrics on;
error_page 418 /6err;
if ($arg_a) { return 403; }
if ($arg_b) { return 418; }
location /6 { return 204; }
location /6err { return 200 "sorry\n"; }
location /6s { apiscale_metrics off; apiscale_status; }
--- request eval
["GET /6?a=1", "GET /6?b=1", "GET /6", "GET /6s"]
--- more_headers eval
["", "", "Host: a/b", ""]
--- error_code eval
[403, 418, 400, 200]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is_deeply(totals($s), { '' => 3, '/6' => 0, '/6err' => 0 },
              "$name - names");
    is(location_of($s, '')->{latency}{start}{count}, 2,
       "$name - a malformed request has no duration");
}



=== TEST 7: inherited, and switched off below
--- http_config
apiscale_metrics_zone zone=counts7:2m;
apiscale_metrics on;
--- config
apiscale_metrics off;
location /7a { return 204; }
location /7b { apiscale_metrics on; return 204;
               location /7b/off { apiscale_metrics off; return 204; } }
location /7s { apiscale_status; }
--- request eval
["GET /7a", "GET /7b", "GET /7b/off", "GET /7s"]
--- error_code eval
[204, 204, 204, 200]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is_deeply(totals($s), { '/7b' => 1 }, "$name - names");
}



=== TEST 8: what apiscale rejects is not in the latency
--- http_config
apiscale_metrics_zone zone=counts9:1m;
apiscale_limit_zone zone=counts9l:1m;
--- config
location /9l {
    apiscale_metrics on;
    apiscale_limit zone=counts9l key=$uri rate=1r/d burst=3;
    return 204;
    location /9l/x { empty_gif; }
}
location /9s { apiscale_status; }
--- request eval
[("GET /9l/x") x 8, "GET /9s"]
--- error_code eval
[(200) x 3, (429) x 5, 200]
--- no_error_log
[alert]
[crit]
[emerg]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    my $l = location_of($s, '/9l/x');
    is($l->{requests}{total}, 8, "$name - total");
    is($l->{requests}{'2xx'}, 3, "$name - 2xx");
    is($l->{requests}{'4xx'}, 5, "$name - 4xx");
    is($l->{requests}{rejected}, 5, "$name - rejected");
    is($l->{requests}{aborted}, 0, "$name - aborted");
    is($l->{latency}{start}{count}, 3, "$name - in the latency");
}



=== TEST 9: more series than series=N
--- http_config
apiscale_metrics_zone zone=counts10:1m series=2;
--- config
location /10a { apiscale_metrics on; return 204; }
location /10b { apiscale_metrics on; return 204; }
location /10c { apiscale_metrics on; return 204; }
location /10d { apiscale_metrics on; return 204; }
location /10s { apiscale_status; }
--- request eval
["GET /10a", "GET /10b", "GET /10c", "GET /10c", "GET /10d", "GET /10s"]
--- error_code eval
[(204) x 5, 200]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is_deeply(totals($s, 1), { 'localhost|/10a' => 1, 'localhost|/10b' => 1,
                       '|other' => 3 }, "$name - names");
}



=== TEST 10: overflow in Prometheus
--- http_config
apiscale_metrics_zone zone=counts11:1m series=1;
--- config
location /11a { apiscale_metrics on; return 204; }
location /11b { apiscale_metrics on; return 204; }
location /11s { apiscale_status; }
--- request eval
["GET /11a", "GET /11b", "GET /11b", "GET /11s?format=prometheus"]
--- error_code eval
[(204) x 3, 200]
--- promtool
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    like($s, qr/^apiscale_series_overflow_total\{dimension="location"\} 2$/m,
         "$name - counter");
    like($s, qr/^apiscale_http_requests_total
               \{server="",location="other",code="2xx"\}\ 2$/mx,
         "$name - other");
}



=== TEST 11: subrequests are not measured
--- http_config
apiscale_metrics_zone zone=counts12:1m;
--- config
log_subrequest on;
location /12m { apiscale_metrics on; auth_request /12auth;
                mirror /12mir; root html; try_files /index.html =404; }
location /12auth { apiscale_metrics on; return 204; }
location /12mir { apiscale_metrics on; return 204; }
location /12s { apiscale_status; }
--- user_files
>>> index.html
page
--- request eval
["GET /12m", "GET /12s"]
--- error_code eval
[200, 200]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is_deeply(totals($s), { '/12m' => 1, '/12auth' => 0, '/12mir' => 0 },
              "$name - names");
    is(location_of($s, '/12m')->{latency}{start}{count}, 1,
       "$name - in the latency");
}



=== TEST 12: a server without measured locations
--- http_config eval
"apiscale_metrics_zone zone=counts13:1m;
server {
    listen \$TEST_NGINX_SERVER_PORT;
    server_name other.test;
    location /13 { apiscale_metrics on; return 200 \"[\$apiscale_duration]\"; }
}"
--- config
location /13 {
    return 200 "[$apiscale_duration]";
}
--- request eval
["GET /13", "GET /13"]
--- more_headers eval
["Host: localhost", "Host: other.test"]
--- response_body_like eval
["^\\[\\]\$", "^\\[0\\.\\d{6}\\]\$"]
