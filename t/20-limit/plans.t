# Plans: limits by what a request is entitled to.

use lib 't/lib';
use ApiscaleBlocks 'no_plan';

our $Plans = <<'END';
    apiscale_plan free {
        limit burst rate=1r/h burst=3;
        limit daily rate=5r/d window=fixed;
    }
    apiscale_plan pro {
        limit burst rate=1r/h burst=30;
    }
    apiscale_plan unlimited { }
END

run_tests();

__DATA__

=== TEST 1: the plan that the request names, with all its limits in order
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans"
--- config
    location /t {
        apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=free;
        add_header X-Policy $apiscale_limit_policy always;
        add_header X-Status $apiscale_limit_status always;
        empty_gif;
    }
--- request eval
["GET /t?k=a&plan=pro", "GET /t?k=a&plan=pro", "GET /t?k=a&plan=free",
 "GET /t?k=a&plan=free", "GET /t?k=a&plan=free", "GET /t?k=a&plan=free"]
--- error_code eval
[200, 200, 200, 200, 200, 429]
--- response_headers_like eval
["RateLimit-Policy: \"burst\";q=30;w=108000\nRateLimit: \"burst\";r=29;t=\\d+\nX-RateLimit-Limit: 30\nX-Policy: burst",
 "X-RateLimit-Remaining: 28",
 "RateLimit-Policy: \"burst\";q=3;w=10800, \"daily\";q=5;w=86400\nRateLimit: \"burst\";r=2;t=\\d+, \"daily\";r=4;t=\\d+\nX-RateLimit-Limit: 3\nX-Policy: burst",
 "RateLimit: \"burst\";r=1;t=\\d+, \"daily\";r=3;t=\\d+",
 "RateLimit: \"burst\";r=0;t=\\d+, \"daily\";r=2;t=\\d+\nX-RateLimit-Remaining: 0",
 "RateLimit: \"burst\";r=0;t=\\d+, \"daily\";r=2;t=\\d+\nX-Status: REJECTED\nX-Policy: burst\nRetry-After: 3[56]\\d\\d"]
--- response_body_like eval
[("GIF") x 5, qr/"violated-policies":\["burst"\]/]



=== TEST 2: an unknown and an empty name are the default plan's
They share its buckets.
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans"
--- config
    location /t {
        apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=free;
        empty_gif;
    }
--- request eval
["GET /t?k=a", "GET /t?k=a&plan=gold", "GET /t?k=a&plan=", "GET /t?k=a&plan=FREE",
 "GET /t?k=a&plan=pro", "GET /t?k=a&plan=free%20"]
--- error_code eval
[200, 200, 200, 429, 200, 429]
--- response_headers eval
["X-RateLimit-Remaining: 2", "X-RateLimit-Remaining: 1",
 "X-RateLimit-Remaining: 0", "X-RateLimit-Limit: 3", "X-RateLimit-Remaining: 29",
 "X-RateLimit-Limit: 3"]



=== TEST 3: an empty plan is unlimited
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans"
--- config
    location /t {
        apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=free;
        add_header X-Status [$apiscale_limit_status];
        empty_gif;
    }
--- request eval
[("GET /t?k=a&plan=unlimited") x 6]
--- response_headers eval
[("!RateLimit\n!RateLimit-Policy\n!X-RateLimit-Limit\nX-Status: [BYPASSED]") x 6]



=== TEST 4: an empty plan as the default
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans"
--- config
    location /t {
        apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=unlimited;
        empty_gif;
    }
--- request eval
["GET /t?k=a", "GET /t?k=a&plan=none", "GET /t?k=a&plan=pro"]
--- response_headers eval
["!RateLimit", "!RateLimit", "X-RateLimit-Remaining: 29"]



=== TEST 5: buckets are by key, by plan and by zone
--- http_config eval
"apiscale_limit_zone zone=z:1m; apiscale_limit_zone zone=y:1m; $::Plans"
--- config
    location /z { apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=free; empty_gif; }
    location /y { apiscale_limit zone=y key=$arg_k plan=$arg_plan default_plan=free; empty_gif; }
    location /same { apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=pro; empty_gif; }
    location /rate { apiscale_limit zone=z key=$arg_k rate=1r/h burst=7 policy=burst; empty_gif; }
--- request eval
["GET /z?k=a", "GET /z?k=b", "GET /y?k=a", "GET /z?k=a&plan=pro", "GET /same?k=a",
 "GET /same?k=a&plan=free", "GET /rate?k=a", "GET /z?k=&plan=free"]
--- response_headers eval
["X-RateLimit-Remaining: 2", "X-RateLimit-Remaining: 2", "X-RateLimit-Remaining: 2",
 "X-RateLimit-Remaining: 29", "X-RateLimit-Remaining: 28",
 "X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 6", "!RateLimit"]



=== TEST 6: with a line that has a rate, in the order written
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans"
--- config
    location /t {
        apiscale_limit zone=z key=all rate=1r/h burst=2 policy=first;
        apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=pro;
        apiscale_limit zone=z key=all rate=1r/h burst=9 policy=last;
        empty_gif;
    }
--- request eval
["GET /t?k=a", "GET /t?k=a", "GET /t?k=a", "GET /t?k=b&plan=free"]
--- error_code eval
[200, 200, 429, 429]
--- response_headers_like eval
["RateLimit: \"first\";r=1;t=\\d+, \"burst\";r=29;t=\\d+, \"last\";r=8;t=\\d+\nRateLimit-Policy: \"first\";q=2;w=7200, \"burst\";q=30;w=108000, \"last\";q=9;w=32400",
 "RateLimit: \"first\";r=0;t=\\d+, \"burst\";r=28;t=\\d+, \"last\";r=7;t=\\d+",
 "RateLimit: \"first\";r=0;t=\\d+, \"burst\";r=28;t=\\d+, \"last\";r=7;t=\\d+",
 "RateLimit: \"first\";r=0;t=\\d+, \"burst\";r=3;t=\\d+, \"daily\";r=5;t=\\d+, \"last\";r=7;t=\\d+"]



=== TEST 7: inherit: a line with plans takes the place of another of its zone
--- http_config eval
"apiscale_limit_zone zone=z:1m; apiscale_limit_zone zone=y:1m; $::Plans
 apiscale_limit zone=z key=\$arg_k plan=\$arg_plan default_plan=free;
 apiscale_limit zone=z key=\$arg_k rate=1r/h burst=50 policy=burst;"
--- config
    location /outer { empty_gif; }
    location /replaced {
        apiscale_limit inherit;
        apiscale_limit zone=z key=$arg_k plan=pro default_plan=pro;
        empty_gif;
    }
    location /added {
        apiscale_limit inherit;
        apiscale_limit zone=y key=$arg_k plan=pro default_plan=pro;
        empty_gif;
    }
    location /own {
        apiscale_limit zone=y key=$arg_k plan=$arg_plan default_plan=free;
        empty_gif;
    }
    location /off { apiscale_limit off; empty_gif; }
--- request eval
["GET /outer?k=a", "GET /replaced?k=a", "GET /added?k=a", "GET /own?k=b", "GET /off?k=a"]
--- response_headers_like eval
["RateLimit-Policy: \"burst\";q=3;w=10800, \"daily\";q=5;w=86400, \"burst\";q=50;w=180000",
 "RateLimit-Policy: \"burst\";q=50;w=180000, \"burst\";q=30;w=108000\nRateLimit: \"burst\";r=48;t=\\d+, \"burst\";r=29;t=\\d+",
 "RateLimit-Policy: \"burst\";q=3;w=10800, \"daily\";q=5;w=86400, \"burst\";q=50;w=180000, \"burst\";q=30;w=108000",
 "RateLimit-Policy: \"burst\";q=3;w=10800, \"daily\";q=5;w=86400",
 "RateLimit: ()"]



=== TEST 8: cost, scale and dry_run with plans
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans"
--- config
    location /cost { apiscale_limit zone=z key=cost plan=pro default_plan=pro cost=$arg_c; empty_gif; }
    location /scale { apiscale_limit zone=z key=scale plan=pro default_plan=pro scale=$arg_s; empty_gif; }
    location /dry {
        apiscale_limit zone=z key=dry plan=free default_plan=free cost=4 dry_run;
        add_header X-Status $apiscale_limit_status;
        empty_gif;
    }
--- request eval
["GET /cost?c=10", "GET /cost?c=0", "GET /scale?s=0.5", "GET /dry"]
--- response_headers eval
["X-RateLimit-Remaining: 20", "X-RateLimit-Remaining: 20",
 "X-RateLimit-Remaining: 14\nX-RateLimit-Limit: 15\nRateLimit-Policy: \"burst\";q=15;w=108000",
 "X-Status: REJECTED_DRY_RUN\n!RateLimit"]



=== TEST 9: the status page tells the plan
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans"
--- config
    location /t { apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=free; empty_gif; }
    location /rate { apiscale_limit zone=z key=$arg_k rate=1r/h policy=plain; empty_gif; }
    location /status { apiscale_status; }
--- request eval
["GET /t?k=a", "GET /t?k=a", "GET /t?k=a", "GET /t?k=a", "GET /t?k=a&plan=pro",
 "GET /rate?k=a", "GET /status?format=json", "GET /status?format=prometheus"]
--- error_code eval
[200, 200, 200, 429, 200, 200, 200, 200]
--- response_body_like eval
[("GIF") x 3, "429", ("GIF") x 2,
 qr/(?=.*\{"policy":"burst","plan":"free","rate":"1r\/h","window":"rolling","burst":3,"passed":3,"rejected":1,)(?=.*\{"policy":"daily","plan":"free","rate":"5r\/d","window":"fixed","burst":5,"passed":3,"rejected":0,)(?=.*\{"policy":"burst","plan":"pro",[^}]*"burst":30,"passed":1,)(?=.*\{"policy":"plain","rate":"1r\/h",)/s,
 qr/(?=.*policy="burst",plan="free",result="rejected"\} 1\n)(?=.*policy="burst",plan="pro",result="passed"\} 1\n)(?=.*policy="plain",result="passed"\} 1\n)/s]



=== TEST 10: plans that stand behind the lines, and in an included file
--- http_config
    apiscale_limit_zone zone=z:1m;
    apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=one;
    apiscale_plan one { include ../html/one.inc; }
--- config
    location /t { empty_gif; }
--- user_files
>>> one.inc
limit hourly rate=1r/h burst=4;
--- request
GET /t?k=a
--- response_headers
RateLimit: "hourly";r=3;t=10800



=== TEST 11: the plan of a variable that a map sets, and a text
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans
 map \$http_x_api_key \$plan { default ''; secret pro; partner unlimited; }"
--- config
    location /t { apiscale_limit zone=z key=$http_x_api_key$arg_k plan=$plan default_plan=free; empty_gif; }
--- request eval
["GET /t?k=a", "GET /t", "GET /t"]
--- more_headers eval
["", "X-Api-Key: secret", "X-Api-Key: partner"]
--- response_headers eval
["X-RateLimit-Limit: 3", "X-RateLimit-Limit: 30", "!X-RateLimit-Limit"]



=== TEST 12: a redirect to a location with the same plans charges once
--- http_config eval
"apiscale_limit_zone zone=z:1m; $::Plans"
--- config
    apiscale_limit zone=z key=$arg_k plan=$arg_plan default_plan=free;
    location /t { try_files /none @named; }
    location @named { empty_gif; }
--- request eval
["GET /t?k=a", "GET /t?k=a"]
--- response_headers eval
["X-RateLimit-Remaining: 2", "X-RateLimit-Remaining: 1"]
