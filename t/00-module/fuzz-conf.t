# Every directive of the module, in every context, with 0 to 6 arguments:
# plain words, strange bytes, huge ones, and such as look right.  "nginx -t"
# passes or tells a reason with its file and line; it never crashes.
#
# The directives are read from the sources, so that none is forgotten.  With
# tools/asan it runs on the nginx that has the sanitizers.  Reproducible:
#
#     FUZZ_CONF_SEED=1 FUZZ_CONF_RUNS=3    runs of each directive where it is
#                                          allowed; elsewhere a single one

use strict;
use warnings;

use Cwd qw(getcwd);
use Test::More;
use ApiscaleLab;

plan(skip_all => 'nothing is served here that could be reloaded')
    if $ENV{TEST_NGINX_USE_HUP};

my $seed = $ENV{FUZZ_CONF_SEED} // 1;
my $runs = $ENV{FUZZ_CONF_RUNS} // 3;

diag("FUZZ_CONF_SEED=$seed FUZZ_CONF_RUNS=$runs");
srand $seed;

# name => flags, in the order of the sources

my (@directives, %flags);
for my $file (sort glob 'src/http/*.c') {
    open(my $in, '<', $file) or die "$file: $!";
    local $/;
    my $text = <$in>;
    while ($text =~ /\{ ngx_string\("(\w+)"\),\s*((?:NGX_\w+\s*\|?\s*)+),/g) {
        my ($name, $flags) = ($1, $2);
        next if $flags !~ /CONF_/;
        push @directives, $name if !$flags{$name};
        $flags{$name} .= $flags;
    }
}

cmp_ok(scalar(grep { /^apiscale_/ } @directives), '>=', 10,
       'the directives were found: ' . @directives);

# %s is the directive's place, @@ that of what it may refer to

my %context = (
    main     => "%s\nevents {}\nhttp { \@\@ }",
    events   => "events {\n%s\n}\nhttp { \@\@ }",
    http     => "events {}\nhttp { \@\@\n%s\n}",
    server   => "events {}\nhttp { \@\@ server {\n%s\n} }",
    location => "events {}\nhttp { \@\@ server { location / {\n%s\n} } }",
    nested   => "events {}\nhttp { \@\@ server { location / { location /a {\n%s\n} } } }",
    named    => "events {}\nhttp { \@\@ server { location \@a {\n%s\n} } }",
    server_if => "events {}\nhttp { \@\@ server { if (\$uri) {\n%s\n} } }",
    location_if => "events {}\nhttp { \@\@ server { location / { if (\$uri) {\n%s\n} } } }",
    limit_except => "events {}\nhttp { \@\@ server { location / { limit_except GET {\n%s\n} } } }",
    upstream => "events {}\nhttp { \@\@ upstream u { server 127.0.0.1:1;\n%s\n} }",
    api      => "events {}\nhttp { \@\@ apiscale_api a { version 1 { }\n%s\n} }",
    version  => "events {}\nhttp { \@\@ apiscale_api a { version 0 { } version 1 {\n%s\n} } }",
);

my $declared = 'apiscale_limit_zone zone=z:1m; apiscale_metrics_zone zone=m:1m; '
             . 'apiscale_api b { prefix /b; version 1 { } } ';

my %allowed = (
    MAIN_CONF => ['http'], SRV_CONF => ['server'],
    LOC_CONF => ['location', 'nested', 'named'],
    APISCALE_API_CONF => ['api'], APISCALE_API_VERSION_CONF => ['version'],
);

sub any { $_[int rand @_] }

sub bytes {
    my ($n) = @_;
    return join '', map { chr int rand 256 } 1 .. $n;
}

my $cwd = getcwd();

# arguments that look right, of any directive
my @right = (
    'zone=z:1m', 'zone=z', 'zone=n:32k', 'zone=n:8k', 'zone=n:1', 'zone=:',
    'zone=n:99999999999999999g', 'zone=m:1m', 'zone=m:2m', 'zone=n:1m:1m',
    'series=10', 'series=0', 'series=99999999999999999999', 'name=x',
    'name=$uri', 'name=', 'key=$remote_addr', 'key=$arg_a:$arg_b', 'key=',
    'key=$', 'key=${', 'key=$no_such_variable', 'key=literal',
    'rate=1r/s', 'rate=10r/15m', 'rate=1r/w', 'rate=0r/s', 'rate=-1r/s',
    'rate=1r/y', 'rate=1000000r/s', 'rate=99999999999999999999r/s', 'rate=',
    'burst=1', 'burst=0', 'burst=5270', 'burst=999999999999999',
    'burst=18446744073709551615', 'burst=', 'policy=p', 'policy=', 'policy="',
    'cost=1', 'cost=0', 'cost=$arg_c', 'cost=x', 'cost=', 'dry_run',
    'dry_run=on', 'inherit', 'off', 'on', 'x-ratelimit', 'x-ratelimit=epoch',
    'x-ratelimit=delta', 'ratelimit', '429', '503', '0', '-1', '4294967296',
    'info', 'error', 'debug', '32', '64', '128', '129', '24', '48',
    'https://example.com/', 'a', 'b', 'latest', '/', '/api', '/b', '//',
    'relative', '$uri', 'path', 'header', 'X-Version', 'query', 'value',
    'strip', 'none', 'gone', 'serve', 'redirect', 'successor', '1', '2', 'v1',
    '2024-01-01', '2024-02-30', '2024-02-29T23:59:60Z', '9999-12-31', '0000-00-00',
    '2024-01-01T00:00:00+99:99', '1ms', '1s', '1d', '250ms', '99999999999d',
    'source=$arg_a', 'source=', 'source=$', 'reload=1s', 'reload=0', 'reload=x',
    "$cwd/t/fuzz/corpus/mmdb/v6", "$cwd/t/fuzz/corpus/mmdb/loop-map",
    '127.0.0.1', 'json', 'html', '~', '=', '==', ':', 'zone', 'rate', 'key',
);

sub argument {
    my $kind = rand;

    return any(@right) if $kind < 0.6;
    return any(@right) . any('', ' ', ':', '=', ';', '$', '{', '}', "\0",
                             "\n", "\xff", '"', '\\', any(@right))
        if $kind < 0.7;
    return bytes(int rand 20) if $kind < 0.8;
    return any(map { /^(\w+=)/ ? $1 : () } @right) . bytes(int rand 8)
        if $kind < 0.88;
    return any('', any(map { /^(\w+=)/ ? $1 : () } @right))
         . any('x', '9', '$', '\\', "\xc3", ':') x any(100, 1000, 4000, 70000)
        if $kind < 0.92;
    return join '', map { any('a' .. 'z', 0 .. 9, '_', '-', '.') }
                        0 .. int rand 12;
}

sub quoted {
    my ($arg) = @_;
    return $arg if rand() < 0.4 && $arg =~ /^[-\w=:\/.\$]+$/;
    return $arg if rand() < 0.1;
    $arg =~ s/(["\\])/\\$1/g;
    return "\"$arg\"";
}

# what core says without a line: it is found after the file was read, or by
# the system
my $no_line = qr/unknown "[^"]*" variable
               | mmap\(MAP_ANON\|MAP_SHARED,\ \d+\)\ failed
               | zero\ size\ shared\ memory\ zone
               | no\ "events"\ section/x;

my $s = ApiscaleLab->new;
my $load = join '', map { "load_module $_;\n" }
                    split /\s+/, $ENV{TEST_NGINX_LOAD_MODULES} || '';
my $head = ($> == 0 ? "user root root;\n" : '')
         . "pid $s->{root}/logs/nginx.pid;\nerror_log $s->{log};\n$load";

my ($n, $passed, @failed) = (0, 0);

sub run {
    my ($name, $context, @args) = @_;

    my $line = join ' ', $name, map { quoted($_) } @args;
    my $block = $flags{$name} =~ /CONF_BLOCK/ && rand() < 0.9
             || rand() < 0.02;
    $line .= $block ? any(' { }', ' { version 1 { } }', ' { $v a; }', ' { x; }', ' {', ' }')
                    : rand() < 0.98 ? ';' : '';

    my $text = $context{$context};
    my $paths = join '', map { "${_}_temp_path $s->{root}/$_; " }
                             qw(client_body proxy fastcgi uwsgi scgi);
    $text =~ s/\@\@/access_log off; $paths$declared/;
    $text =~ s/%s/$line/;
    $s->file('conf/nginx.conf', $head . $text . "\n");

    my ($ok, $said, $status) = $s->run_t;
    $n++;
    $passed++ if $ok;

    my $emerg = $said =~ /^nginx: \[emerg\]/m;
    my $why = $status & 127 ? 'signal ' . ($status & 127)
            : $status >> 8 > 1 ? 'exit ' . ($status >> 8)
            : $said =~ /Sanitizer|runtime error|\[alert\]/ ? 'a report'
            : $ok && $emerg ? 'passed in spite of an error'
            : !$ok && !$emerg ? 'failed without a reason'
            : !$ok && $said !~ /^nginx: \[emerg\] .* in \S+:\d+$/ms
                && $said !~ $no_line ? 'no file and line'
            : undef;

    if ($why) {
        my $kept = "fuzz-conf-" . @failed . '.conf';
        $s->file("../../logs/$kept", $head . $text . "\n");
        push @failed, "$why: $name in $context: $said (logs/$kept)";
    }
}

for my $name (@directives) {
    my %here;
    while ($flags{$name} =~ /NGX_(?:HTTP_)?(\w+_CONF)\b/g) {
        $here{$_} = 1 for @{$allowed{$1} || []};
    }

    for my $context (sort keys %context) {
        for (1 .. ($here{$context} ? $runs : 1)) {
            my $args = int rand 7;
            run($name, $context, map { argument() } 1 .. $args);
        }

        # and once with each number of arguments that look right
        next if !$here{$context};
        run($name, $context, map { any(@right) } 1 .. $_) for 0 .. 6;
    }
}

is(join("\n", @failed), '', "$n configurations: each has an answer");
cmp_ok($passed, '>', $n / 100, "$passed of them passed");
cmp_ok($passed, '<', $n * 0.9, 'and others did not');

done_testing();
