# Runs each configuration of examples/ as it is, but for its ports and the
# paths that belong to a machine, and looks at what its comments promise.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use Test::More;
use Time::HiRes qw(sleep);

use ApiscaleMmdb;

plan skip_all => 'examples are not reloaded' if $ENV{TEST_NGINX_USE_HUP};

my $top = abs_path(dirname(__FILE__) . '/../..');
my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
my $so = $ENV{TEST_NGINX_APISCALE_SO}
         || "$top/build/ngx_http_apiscale_module.so";

# two ports for each example, so that none waits for those of the last
my $port = ($ENV{TEST_NGINX_SERVER_PORT} || 23040) - 1;

my ($pid, $dir);

sub stop {
    return if !$pid;
    kill 'TERM', $pid;
    waitpid $pid, 0;
    undef $pid;
}

END {
    local $?;
    stop();
}

sub slurp {
    my ($file) = @_;
    open(my $in, '<', $file) or die "$file: $!";
    local $/;
    return scalar <$in>;
}

# the databases that an example names, as its test needs them
my %mmdb = (
    'GeoLite2-Country.mmdb' => {
        '192.0.2.0/24' => { country => { iso_code => 'US' } },
        '198.51.100.0/24' => { country => { iso_code => 'DE' } },
        '203.0.113.0/24' => { country => { iso_code => 'FR' } },
    },
    'GeoLite2-ASN.mmdb' => {
        '198.51.100.0/25' => { autonomous_system_number => 64496,
                               autonomous_system_organization => 'Hosting' },
        '203.0.113.0/24' => { autonomous_system_number => 64499 },
    },
);

sub start {
    my ($file) = @_;

    $port += 2;
    $dir = tempdir('apiscale-t-XXXXXX', TMPDIR => 1, CLEANUP => 1);
    chmod 0755, $dir;
    mkdir "$dir/logs";

    my $s = slurp($file);
    $s =~ s{^load_module modules/ngx_http_apiscale_module\.so;$}
           {load_module $so;}m or die "$file: no load_module\n";
    $s =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/g;
    $s =~ s/127\.0\.0\.1:8081/'127.0.0.1:' . ($port + 1)/ge;
    my $temp = join '', "    access_log $dir/logs/access.log;\n",
                        map { "    ${_}_temp_path $dir/$_;\n" }
                        qw(client_body proxy fastcgi uwsgi scgi);
    $s =~ s/^http \{\n/http {\n$temp/m or die "$file: no http block\n";

    for my $name (grep { $s =~ /\b\Q$_\E\b/ } sort keys %mmdb) {
        write_mmdb("$dir/$name", $mmdb{$name});
    }

    # what a configuration comes with
    for my $with (glob "$top/examples/*.json") {
        copy($with, "$dir/" . basename($with)) or die "$with: $!";
    }

    open(my $out, '>', "$dir/nginx.conf") or die "$dir: $!";
    print $out $s;
    close $out;

    $pid = fork // die "fork: $!";

    if ($pid == 0) {
        exec $nginx, '-e', "$dir/logs/error.log", '-p', "$dir/",
             '-c', "$dir/nginx.conf", '-g', "daemon off; pid $dir/pid;"
             . " lock_file $dir/lock; error_log $dir/logs/error.log info;"
            or die "exec: $!";
    }

    for (1 .. 100) {
        return 1 if -s "$dir/pid"
                    && IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        last if waitpid($pid, 1) == $pid;
        sleep 0.1;
    }

    diag slurp("$dir/logs/error.log");
    return 0;
}

# the response: status, content, and headers by name in lower case
sub get {
    my ($uri, %headers) = @_;

    return HTTP::Tiny->new(timeout => 10, keep_alive => 0)
           ->get("http://127.0.0.1:$port$uri", { headers => \%headers });
}

sub statuses {
    my ($n, @get) = @_;
    return join ' ', map { get(@get)->{status} } 1 .. $n;
}

my %tests = (

'limits-basic.conf' => sub {
    my $r = get('/');
    is($r->{status}, 200, 'a request passes');
    is($r->{headers}{'x-ratelimit-limit'}, 20, 'Limit is the burst');
    is($r->{headers}{'x-ratelimit-remaining'}, 19, 'Remaining');
    is($r->{headers}{'ratelimit-policy'}, '"60r/m";q=20;w=20',
       'RateLimit-Policy');
    is($r->{headers}{ratelimit}, '"60r/m";r=19;t=19', 'RateLimit');

    like(statuses(5, '/search'), qr/^200 200 200 429/, 'searches');
    $r = get('/search');
    is($r->{status}, 429, 'searches are rejected');
    cmp_ok($r->{headers}{'retry-after'}, '<=', 6, 'for 6 s at most');
    is($r->{headers}{'content-type'}, 'application/problem+json', 'body');
    my $problem = decode_json($r->{content});
    is($problem->{status}, 429, 'body: status');
    is($problem->{code}, 'quota-exceeded', 'body: code');
    is_deeply($problem->{'violated-policies'}, ['search'], 'body: policy');

    is(get('/')->{status}, 200, 'other requests pass');
    like(statuses(25, '/'), qr/^(?:200 )+429/, 'until 20 were made');
    $r = get('/health');
    is($r->{status}, 200, 'health checks are not limited');
    ok(!exists $r->{headers}{'x-ratelimit-limit'}, 'and say nothing');
},

'limits-tiers-by-key.conf' => sub {
    like(statuses(7, '/'), qr/^200 200 200 200 200 429/, 'anonymous: 5');

    my @acme = ('/', 'X-API-Key' => 'key-of-acme');
    my $r = get(@acme);
    is($r->{status}, 200, 'a key is not an address');
    is($r->{headers}{'ratelimit-policy'}, '"free";q=20;w=20',
       'the policy in dry run is not told of');
    is($r->{headers}{'x-ratelimit-reset'}, 1, 'Reset in seconds');
    like(statuses(4, @acme), qr/^200 200 200 200$/, 'it rejects nothing');

    $r = get('/reports/1', 'X-API-Key' => 'key-of-acme');
    is($r->{status}, 200, 'a report');
    cmp_ok($r->{headers}{'x-ratelimit-remaining'}, '<=', 10,
           'costs ten');
    is(get('/reports/1')->{status}, 429, 'never within a burst of 5');
    ok(!exists get('/reports/1')->{headers}{'retry-after'},
       'so there is no Retry-After');

    is(statuses(30, '/', 'X-API-Key' => 'key-of-initech') =~ s/200 ?//gr,
       '', 'pro: 30 at once');

    my $log = slurp("$dir/logs/limits.log");
    like($log, qr{ 200 tier=free limit=PASSED policy=free left=\d+/20$}m,
         'log: passed');
    like($log, qr{ 200 tier=free limit=REJECTED_DRY_RUN policy=free }m,
         'log: dry run');
    like($log, qr{ 429 tier=anonymous limit=REJECTED policy=anonymous left=0/5}m,
         'log: rejected');
    like(slurp("$dir/logs/error.log"),
         qr{limiting requests, dry run, by policy "day" of zone "tiers"},
         'error log: dry run');
},

'plans.conf' => sub {
    like(statuses(7, '/'), qr/^200 200 200 200 200 429/, 'anonymous: 5');
    is(get('/', 'X-API-Key' => 'guess')->{status}, 429,
       'an unknown key is the address');

    my $r = get('/', 'X-API-Key' => 'key-of-acme');
    is($r->{status}, 200, 'free');
    is($r->{headers}{'ratelimit-policy'},
       '"burst";q=20;w=20, "day";q=1000;w=86400', 'free: its policies');
    is($r->{headers}{'x-ratelimit-limit'}, 20, 'free: the scarcer of them');

    is(statuses(30, '/', 'X-API-Key' => 'key-of-initech') =~ s/200 ?//gr,
       '', 'pro: 30 at once');
    like(get('/', 'X-API-Key' => 'key-of-initech')
         ->{headers}{'ratelimit-policy'},
         qr/^"burst";q=200;w=2, "day";q=1000000;w=86400$/,
         'pro: its policies');

    $r = get('/', 'X-API-Key' => 'key-of-backend');
    is($r->{status}, 200, 'internal');
    ok(!exists $r->{headers}{'x-ratelimit-limit'}, 'internal: no limit');
},

'login.conf' => sub {
    my @ann = ('/', Authorization => 'Bearer secret-of-ann');
    my @bob = ('/', Authorization => 'Bearer secret-of-bob');
    my @guess = ('/', Authorization => 'Bearer guess');

    is(statuses(8, @ann), join(' ', (200) x 8), 'ann is no guess');
    is(get(@bob)->{headers}{ratelimit}, '"guesses";r=5;t=60, "user";r=9;t=9',
       'bob has a limit of his own');
    like(statuses(4, @ann), qr/429$/, 'the limit of ann');
    is(get(@bob)->{status}, 200, 'is not that of bob');

    is(statuses(4, @guess), '401 401 401 401', 'guesses');
    is(get(@guess)->{headers}{'x-ratelimit-remaining'}, 0, 'five of them');

    my $r = get(@guess);
    is($r->{status}, 429, 'are all');
    is_deeply(decode_json($r->{content})->{'violated-policies'}, ['guesses'],
              'the policy');
    cmp_ok($r->{headers}{'retry-after'}, '<=', 12, 'for 12 s at most');
    is(get(@bob)->{status}, 429, 'for all behind that address');
},

'origin-costs.conf' => sub {
    my $r = get('/?cost=1');
    is($r->{headers}{'x-ratelimit-remaining'}, 99, 'a cheap one');
    ok(!exists $r->{headers}{'x-cost'}, 'the client is told no cost');

    $r = get('/?cost=many');
    like($r->{headers}{'x-ratelimit-remaining'}, qr/^(?:89|9\d)$/,
         'the reserve is kept if the cost is no number');

    $r = get('/broken');
    is($r->{status}, 500, 'an error');
    like($r->{headers}{'x-ratelimit-remaining'}, qr/^(?:89|9\d)$/,
         'costs nothing');

    $r = get('/?cost=150');
    is($r->{status}, 200, 'a dear one');
    is($r->{headers}{'x-ratelimit-remaining'}, 0, 'takes all, and more');

    $r = get('/?cost=1');
    is($r->{status}, 429, 'which has to be paid');
    cmp_ok($r->{headers}{'retry-after'}, '>', 40, 'by waiting: at least');
    cmp_ok($r->{headers}{'retry-after'}, '<=', 71, 'by waiting: at most');
},

'spare-cache.conf' => sub {
    my $r = get('/1');
    is($r->{headers}{'x-cache'}, 'MISS', 'a miss');
    is($r->{headers}{'x-ratelimit-remaining'}, 4, 'is charged');

    for (1 .. 8) {
        $r = get('/1');
        last if $r->{headers}{'x-cache'} ne 'HIT'
                || $r->{headers}{'x-ratelimit-remaining'} < 4;
    }

    is($r->{headers}{'x-cache'}, 'HIT', 'a hit');
    is($r->{headers}{'x-ratelimit-remaining'}, 4, 'is given back');

    like(join(' ', map { get("/$_")->{status} } 2 .. 7),
         qr/^200 200 200 200 429/, 'five reach the origin');
    is(get('/1')->{status}, 429, 'then the cache is not asked, either');
},

'dry-run.conf' => sub {
    is(statuses(5, '/'), '200 200 200 200 200', 'nothing is rejected');

    my $r = get('/');
    is($r->{headers}{'ratelimit-policy'}, '"minute";q=100;w=10',
       'clients are not told');

    my ($zone) = @{ decode_json(get('/status')->{content})->{limits} };
    my %policy = map { $_->{policy} => $_ } @{ $zone->{policies} };
    is($policy{minute}{passed}, 6, 'the limit that is in force');
    is($policy{hour}{window}, 'sliding', 'the new one');
    is($policy{hour}{passed}, 3, 'would let pass');
    is($policy{hour}{rejected_dry_run}, 3, 'would reject');

    like(slurp("$dir/logs/limits.log"), qr/ 200 REJECTED_DRY_RUN$/m, 'log');
    like(slurp("$dir/logs/error.log"),
         qr{limiting requests, dry run, by policy "hour" of zone "clients"},
         'error log');
},

'versions-path.conf' => sub {
    my $r = get('/api/v2/users?page=2');
    is($r->{status}, 200, 'v2');
    is_deeply(decode_json($r->{content}),
              { version => '2', uri => '/api/users?page=2' }, 'v2: the URI');
    ok(!exists $r->{headers}{deprecation}, 'v2: not deprecated');

    is(decode_json(get('/api/users')->{content})->{version}, '2', 'default');

    $r = get('/api/v1/users?page=2');
    is($r->{status}, 200, 'v1');
    is(decode_json($r->{content})->{version}, '1', 'v1: the origin knows');
    is($r->{headers}{deprecation}, '@1735689600', 'v1: Deprecation');
    is($r->{headers}{sunset}, 'Tue, 30 Jun 2099 23:59:59 GMT', 'v1: Sunset');
    my $link = $r->{headers}{link};
    like($link, qr{<https://docs\.example/shop/v1>; rel="deprecation"},
         'v1: Link to the announcement');
    like($link, qr{</api/v2/users\?page=2>; rel="successor-version"},
         'v1: Link to the successor');

    $r = get('/api/v0/users');
    is($r->{status}, 410, 'v0');
    is(decode_json($r->{content})->{successor}, '2', 'v0: the successor');

    $r = get('/api/v3/users');
    is($r->{status}, 404, 'v3');
    is_deeply(decode_json($r->{content})->{supported}, ['1', '2'],
              'v3: what there is');
    is(get('/other')->{status}, 404, 'outside of the API');
},

'metrics-status.conf' => sub {
    statuses(3, '/users');
    statuses(2, '/orders');

    my $r = get('/status');
    is($r->{headers}{'content-type'}, 'application/json', 'JSON');
    my $status = decode_json($r->{content});
    my %location = map { $_->{location} => $_ } @{ $status->{locations} };
    is($location{'/users'}{requests}{'2xx'}, 3, 'users');
    is($location{'/orders'}{requests}{'5xx'}, 2, 'orders');
    cmp_ok($location{'/users'}{latency}{start}{p95}, '>', 0, 'latency');
    ok(!exists $location{'= /status'}, 'the page itself is not measured');

    like(get('/status?format=prometheus')->{content},
         qr{^apiscale_http_requests_total\{.*location="/users".*\} 3$}m,
         'Prometheus by argument');
    like(get('/status', Accept => 'text/plain')->{headers}{'content-type'},
         qr{^text/plain; version=0\.0\.4}, 'Prometheus by Accept');
},

'consumers.conf' => sub {
    my @acme = ('/api/x', 'X-API-Key' => 'key-of-acme');
    my @initech = ('/api/x', 'X-API-Key' => 'next-key-of-initech');

    my $r = get(@acme);
    is($r->{status}, 200, 'a consumer');
    is_deeply(decode_json($r->{content}), { consumer => 'acme', key => '' },
              'the origin knows who it is, and not the key');
    is($r->{headers}{'x-ratelimit-remaining'}, 90, 'free: a tenth is gone');
    is(get(@initech)->{headers}{'x-ratelimit-remaining'}, 99, 'pro: less');
    is(get('/api/x', 'X-API-Key' => 'key-of-initech')
       ->{headers}{'x-ratelimit-remaining'}, 98, 'of both keys');
    like(statuses(15, @acme), qr/^200 (?:200 )+429/, 'free: ten at once');

    $r = get('/api/x');
    is($r->{status}, 401, 'nobody');
    is($r->{headers}{'www-authenticate'}, 'ApiKey', 'the challenge');
    is(decode_json($r->{content})->{code}, 'consumer-required', 'code');
    $r = get('/api/x', 'X-API-Key' => 'guess');
    is($r->{status}, 401, 'a key of nobody');
    is(decode_json($r->{content})->{code}, 'consumer-unknown', 'code');
    is(get('/health')->{status}, 200, 'what needs no key');
    like(statuses(25, '/api/x', 'X-API-Key' => 'guess'),
         qr/^401 (?:401 )+429/, 'guessing is limited');

    my $s = decode_json(get('/status', 'X-API-Key' => 'key-of-initech')
                        ->{content})->{consumers};
    is_deeply([@$s{qw(consumers keys error)}], [2, 3, undef], 'status');
    like(slurp("$dir/logs/consumers.log"),
         qr{ 200 consumer=initech plan=pro$}m, 'log');

    my $text = slurp("$dir/consumers.json") =~ s/"initech"/"renamed"/r;
    open(my $out, '>', "$dir/new.json") or die $!;
    print $out $text;
    close $out;
    rename "$dir/new.json", "$dir/consumers.json" or die $!;

    for (1 .. 100) {
        $r = get(@initech);
        last if $r->{content} =~ /renamed/;
        sleep 0.1;
    }
    is(decode_json($r->{content})->{consumer}, 'renamed', 'a new file');
},

'geo-limits.conf' => sub {
    my $from = sub { ('/', 'X-Forwarded-For' => $_[0]) };

    is(decode_json(get($from->('192.0.2.1'))->{content})->{country}, 'US',
       'the origin is told the country');
    is(decode_json(get('/')->{content})->{country}, 'ZZ', 'an unknown one');

    my @n = (0) x 2;
    for (1 .. 30) {
        $n[0]++ if get($from->("203.0.113.$_"))->{status} == 200;
        $n[1]++ if get($from->("198.51.100.@{[128 + $_]}"))->{status} == 200;
    }
    cmp_ok($n[0], '<', 30, 'clients of a country share a limit');
    is($n[1], 30, 'but for the home market');

    like(statuses(5, $from->('198.51.100.7')), qr/^200 200 200 200 429/,
         'a network has a limit');
    is(get($from->('198.51.100.8'))->{status}, 429, 'which clients share');

    my $log = slurp("$dir/logs/geo.log");
    like($log, qr{^198\.51\.100\.8 .* 429 country=DE asn=64496 organization="Hosting" limit=REJECTED hosting$}m,
         'log');
    like($log, qr{^192\.0\.2\.1 .* 200 country=US asn=0 organization="-" }m,
         'log without a network');
},

'all-in-one.conf' => sub {
    my $r = get('/api/v1/users');
    is($r->{status}, 200, 'v1');
    ok($r->{headers}{deprecation}, 'v1: Deprecation');
    is($r->{headers}{'x-ratelimit-limit'}, 100, 'v1: the limit');
    is(get('/api/users')->{headers}{'x-ratelimit-remaining'}, 99,
       'v2 has a limit of its own');

    like(statuses(7, '/api/v2/login'), qr/^200 200 200 200 200 429/, 'login');

    $r = get('/api/v9/users');
    is($r->{status}, 404, 'v9');
    is(decode_json($r->{content})->{type},
       'https://docs.example/problems/version-unknown', 'v9: type');

    my $status = decode_json(get('/status')->{content});
    is_deeply([grep { !ref $status->{$_} } qw(locations limits versions)],
              [], 'status has all sections');
    like(slurp("$dir/logs/api.log"),
         qr{ 200 0\.\d{6} version=1 limit=PASSED$}m, 'log');
},

);

for my $file (sort glob "$top/examples/*.conf") {
    my $name = basename($file);
    my $test = delete $tests{$name};

    subtest $name => sub {
        ok($test, 'there is a test of it') or return;
        ok(start($file), 'it starts') or return;
        $test->();
        unlike(slurp("$dir/logs/error.log"), qr/\[(?:alert|emerg|crit)\]/,
               'no alert');
        stop();
    };
}

is_deeply([keys %tests], [], 'each test has its example');

done_testing();
