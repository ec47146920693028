# The status page: formats, methods, headers.

use Test::Nginx::Socket 'no_plan';
use Test::More;
use ApiscaleStatus;

add_status_checks();
no_shuffle();
no_long_string();
run_tests();
all_checked();

__DATA__

=== TEST 1: JSON by default
--- config
location = /status { apiscale_status; }
--- request
GET /status
--- response_headers
Content-Type: application/json
Cache-Control: no-store
--- response_headers_like
Content-Length: \d+
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is($s->{version}, '0.1.0', "$name - version");
    like($s->{nginx}, qr/^1\.\d+\.\d+$/, "$name - nginx");
    like($s->{pid}, qr/^\d+$/, "$name - pid");
    like($s->{start}, qr/^\d+(\.\d{1,6})?$/, "$name - start");
    cmp_ok(abs($s->{time} - time), '<', 10, "$name - time");
    cmp_ok(abs($s->{time} - $s->{start} - $s->{uptime}), '<', 0.001,
           "$name - uptime");
    is_deeply([$s->{locations}, $s->{zones}], [[], []],
              "$name - sections are there when nothing is in them");
}



=== TEST 2: zones
--- http_config
apiscale_metrics_zone zone=status2:1m;
--- config
location = /status { apiscale_status; apiscale_metrics on; }
--- request
GET /status
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    my ($z) = grep { $_->{zone} eq 'status2' } @{$s->{zones}};
    is($z->{size}, 1048576, "$name - size");
    cmp_ok($z->{used}, '>=', 2 * 14080, "$name - used: other and one");
    cmp_ok($z->{used}, '<', 4 * 14080, "$name - used: no more");
}



=== TEST 3: an empty series
--- http_config
apiscale_metrics_zone zone=status3:1m;
--- config
location = /status { apiscale_status; }
location = /3 { apiscale_metrics on; return 204; }
--- request
GET /status
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    my $l = location_of($s, '= /3');
    is_deeply($l, {
        server => 'localhost', location => '= /3',
        requests => { map { $_ => 0 } qw(total 1xx 2xx 3xx 4xx 5xx other
                                         rejected aborted) },
        bytes => { received => 0, sent => 0 },
        latency => { start => { count => 0, p50 => undef, p95 => undef,
                                p99 => undef, mean => undef,
                                max => undef } },
    }, $name);
}



=== TEST 4: Prometheus
--- http_config
apiscale_metrics_zone zone=status4:1m;
--- config
location = /status { apiscale_status; }
location = /4 { apiscale_metrics on; return 204; }
--- request eval
["GET /4", "GET /status?format=prometheus"]
--- error_code eval
[204, 200]
--- response_headers eval
["", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r
Cache-Control: no-store"]
--- promtool
--- check eval
package main;
sub {
    my ($text, $name) = @_;
    like($text, qr/^apiscale_build_info\{version="0.1.0",nginx="[\d.]+"\} 1$/m,
         "$name - build_info");
    like($text, qr/^apiscale_start_time_seconds \d+(\.\d{1,6})?$/m,
         "$name - start_time");
    like($text, qr/^apiscale_zone_size_bytes\{zone="status4"\} 1048576$/m,
         "$name - zone_size");
    like($text, qr/^apiscale_zone_used_bytes\{zone="status4"\} \d+$/m,
         "$name - zone_used");
    like($text, qr/^apiscale_http_requests_total
                   \{server="localhost",location="=\ \/4",code="2xx"\}\ 1$/mx,
         "$name - requests");
    # the one request before this: what it was, and what it was not
    for ([request_bytes => '[1-9]\d+'], [response_bytes => '[1-9]\d+'],
         [requests_rejected => 0], [requests_aborted => 0])
    {
        my ($family, $value) = @$_;
        like($text, qr/^apiscale_http_${family}_total
                       \{server="localhost",location="=\ \/4"\}\ $value$/mx,
             "$name - $family");
    }
    like($text, qr/^apiscale_series_overflow_total\{dimension="location"\} 0$/m,
         "$name - overflow");
    my %seen;
    my @again = grep { $seen{$_}++ } $text =~ /^# TYPE (\S+)/mg;
    is_deeply(\@again, [], "$name - each family once");
    my ($family, @strays) = '';
    for (split /\n/, $text) {
        if (/^# TYPE (\S+)/) { $family = $1 }
        elsif (!/^#/ && !/^\Q$family\E(_bucket|_sum|_count)?[{ ]/) {
            push @strays, $_;
        }
    }
    is_deeply(\@strays, [], "$name - no family is interleaved");
    like($text, qr/\n\z/, "$name - ends with a line feed");
}



=== TEST 5: an argument wins over Accept
--- config
location = /status { apiscale_status; }
--- request
GET /status?x=1&format=json
--- more_headers
Accept: text/plain
--- response_headers
Content-Type: application/json



=== TEST 6: unknown formats
--- config
location = /status { apiscale_status; }
--- request eval
[map { "GET /status?format=$_" } 'x', '', 'jsonx', 'JSON', 'html',
 'openmetrics', '%00', 'prometheus%20']
--- error_code eval
[(400) x 8]
--- response_headers eval
[("Content-Type: application/problem+json") x 8]
--- response_body_like eval
[('"status":400.*"code":"unknown-format"') x 8]



=== TEST 7: by Accept
--- config
location = /status { apiscale_status; }
--- request eval
[("GET /status") x 24]
--- more_headers eval
[
    'Accept: */*',
    'Accept: text/html,application/xhtml+xml,*/*;q=0.8',
    'Accept: text/html',
    'Accept: application/json',
    'Accept: application/*',
    'Accept: text/plain',
    'Accept: text/*',
    'Accept: application/openmetrics-text',
    'Accept: application/openmetrics-text;version=1.0.0,'
        . 'application/openmetrics-text;version=0.0.1;q=0.75,'
        . 'text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    'Accept: text/plain, application/json',
    'Accept: text/plain;q=0.9, application/json;q=0.8',
    'Accept: text/plain;q=0.8, application/json;q=0.9',
    'Accept: TEXT/PLAIN ; Q=1 , application/json ; q=0.999',
    'Accept: text/plain;q=0, */*',
    'Accept: application/json;q=0, */*;q=0.001',
    'Accept: */*;q=1, application/json;q=0.5',
    'Accept: application/json;q=0.5, application/*;q=1, text/plain;q=0.6',
    'Accept: text/plain;a="x,y;q=0";q=0.7, application/json;q=0.6',
    'Accept: text/plain;a="x,y;";q=0.5, application/json;q=0.6',
    'Accept: application/json;q=0.5, application/*;q=1',
    'Accept: text/plain;q=x, application/json;q=0.9',
    'Accept: ,,;;q,=/',
    'Accept: "',
    'Accept: application/json;q=0.1' . "\r\n" . 'Accept: text/plain;q=0.2',
]
--- response_headers eval
[map { $_ ? "Content-Type: text/plain; version=0.0.4; charset=utf-8"
          : "Content-Type: application/json" }
 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 1, 0, 0, 1]



=== TEST 8: HEAD
--- config
location = /status { apiscale_status; }
--- request
HEAD /status
--- response_headers
Content-Type: application/json
Cache-Control: no-store
--- response_headers_like
Content-Length: [1-9]\d+
--- response_body



=== TEST 9: other methods
--- config
location = /status { apiscale_status; }
--- request eval
["POST /status\nx=1", "PUT /status\nx=1", "DELETE /status", "OPTIONS /status"]
--- error_code eval
[(405) x 4]
--- response_headers eval
[("Allow: GET, HEAD\r\nContent-Type: application/problem+json") x 4]
--- response_body_like eval
[('"status":405.*"code":"method-not-allowed"') x 4]



=== TEST 10: a body is read and forgotten
--- config
location = /status { apiscale_status; }
--- pipelined_requests eval
["GET /status\nhello", "GET /status"]
--- response_body_like eval
[('"zones":\[\]') x 2]



=== TEST 11: within a page
--- config
location = /status { apiscale_status; }
location = /page { ssi on; default_type text/html;
                   try_files /page.html =404; }
--- user_files
>>> page.html
begin <!--#include virtual="/status" --> end
--- request
GET /page
--- response_body_like
begin \{"version".*\}
 end$



=== TEST 12: duplicate
--- config
location = /status { apiscale_status; apiscale_status; }
--- must_die
--- error_log eval
qr/\[emerg\] .*"apiscale_status" directive is duplicate in \S+nginx.conf:\d+/



=== TEST 13: takes no argument
--- config
location = /status { apiscale_status on; }
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of arguments in "apiscale_status" directive in \S+nginx.conf:\d+/



=== TEST 14: in a server
--- config
apiscale_status;
--- must_die
--- error_log eval
qr/\[emerg\] .*"apiscale_status" directive is not allowed here in \S+nginx.conf:\d+/



=== TEST 15: the answer is larger than a buffer
--- http_config eval
"apiscale_metrics_zone zone=status15:8m;
server { listen \$TEST_NGINX_SERVER_PORT; server_name many.test;
apiscale_metrics on;\n"
. CORE::join('', map { "location /some/longer/name/of/a/location/$_ { }\n" } 1 .. 200)
. "}"
--- config
location = /status { apiscale_status; }
--- request eval
["GET /status?format=prometheus", "GET /status"]
--- check eval
package main;
sub {
    my ($s, $name) = @_;
    is(scalar(grep { $_->{server} eq 'many.test' } @{$s->{locations}}), 201,
       "$name - all");
}
