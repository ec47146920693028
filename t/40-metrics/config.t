# What nginx -t says of apiscale_metrics_zone and apiscale_metrics.

use Test::Nginx::Socket 'no_plan';

no_shuffle();
run_tests();

__DATA__

=== TEST 1: duplicate zone directive
--- http_config
apiscale_metrics_zone zone=mc:1m;
apiscale_metrics_zone zone=md:1m;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*"apiscale_metrics_zone" directive is duplicate in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 2: no zone parameter
--- http_config
apiscale_metrics_zone series=10;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*"apiscale_metrics_zone" must have "zone" parameter in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 3: empty zone name
--- http_config
apiscale_metrics_zone zone=:1m;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*"apiscale_metrics_zone" must have "zone" parameter in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 4: zone without a size
--- http_config
apiscale_metrics_zone zone=mc;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid zone size "zone=mc" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 5: malformed size
--- http_config
apiscale_metrics_zone zone=mc:1x;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid zone size "zone=mc:1x" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 6: overflowing size
--- http_config
apiscale_metrics_zone zone=mc:99999999999999999999g;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid zone size "zone=mc:99999999999999999999g" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 7: zone too small
--- http_config
apiscale_metrics_zone zone=mc:16k;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*zone "zone=mc:16k" is too small in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 8: zone parameter twice
--- http_config
apiscale_metrics_zone zone=mc:1m zone=md:1m;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*duplicate parameter "zone=md:1m" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 9: series parameter twice
--- http_config
apiscale_metrics_zone zone=mc:1m series=1 series=2;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*duplicate parameter "series=2" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 10: no series
--- http_config
apiscale_metrics_zone zone=mc:1m series=0;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of series "series=0" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 11: a number that is none
--- http_config
apiscale_metrics_zone zone=mc:1m series=-1;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of series "series=-1" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 12: a number too large
--- http_config
apiscale_metrics_zone zone=mc:1m series=99999999999999999999;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid number of series "series=99999999999999999999" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 13: unknown parameter
--- http_config
apiscale_metrics_zone zone=mc:1m rows=1;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid parameter "rows=1" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 14: the zone of another directive
--- http_config
limit_req_zone $remote_addr zone=mc:1m rate=1r/s;
apiscale_metrics_zone zone=mc:1m;
--- config
--- must_die
--- error_log eval
qr/\[emerg\] .*the shared memory zone "mc" is already declared for a different use/
--- no_error_log
[alert]
[crit]



=== TEST 15: zone in a server
--- config
apiscale_metrics_zone zone=mc:1m;
--- must_die
--- error_log eval
qr/\[emerg\] .*"apiscale_metrics_zone" directive is not allowed here in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 16: on without a zone names the first place
--- config
include ../html/first.conf;
include ../html/second.conf;
--- user_files
>>> first.conf
location /off { apiscale_metrics off; }

location /on { apiscale_metrics on; }
>>> second.conf
location /again { apiscale_metrics on; }
--- must_die
--- error_log eval
qr/\[emerg\] .*no "apiscale_metrics_zone" is defined for the "apiscale_metrics" directive in \S+first.conf:3$/m
--- no_error_log
[alert]
[crit]



=== TEST 17: off needs no zone
--- config
location /t {
    apiscale_metrics off;
    return 204;
}
--- request
GET /t
--- error_code: 204
--- no_error_log
[alert]
[crit]
[emerg]
[error]



=== TEST 18: neither on nor off
--- http_config
apiscale_metrics_zone zone=mc:1m;
--- config
apiscale_metrics yes;
--- must_die
--- error_log eval
qr/\[emerg\] .*invalid value "yes" in "apiscale_metrics" directive, it must be "on" or "off" in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 19: twice on a level
--- http_config
apiscale_metrics_zone zone=mc:1m;
--- config
apiscale_metrics on;
apiscale_metrics off;
--- must_die
--- error_log eval
qr/\[emerg\] .*"apiscale_metrics" directive is duplicate in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 20: not within if
--- http_config
apiscale_metrics_zone zone=mc:1m;
--- config
location /t {
    if ($arg_a) {
        apiscale_metrics on;
    }
}
--- must_die
--- error_log eval
qr/\[emerg\] .*"apiscale_metrics" directive is not allowed here in \S+nginx.conf:\d+/
--- no_error_log
[alert]
[crit]



=== TEST 21: the zone may come after its use
--- config
location /t {
    apiscale_metrics on;
    return 204;
}
--- http_config eval
"server { listen \$TEST_NGINX_SERVER_PORT; server_name x; "
. "apiscale_metrics on; }\n"
. "apiscale_metrics_zone series=3 zone=mlate:1m;"
--- request
GET /t
--- error_code: 204
--- no_error_log
[alert]
[crit]
[emerg]
[error]
