# What "nginx -t" says of apiscale_geo: what is good passes without a warning,
# what is bad is refused with its reason, file and line.

use strict;
use warnings;

use POSIX qw(mkfifo);
use Test::More;
use ApiscaleLab;
use ApiscaleMmdb;

plan(skip_all => 'nothing is served here that could be reloaded')
    if $ENV{TEST_NGINX_USE_HUP};

my $s = ApiscaleLab->new;
my $root = root();

my $good = mmdb({ '192.0.2.0/24' => { country => { iso_code => 'US' } } });
put_file("$root/conf/db.mmdb", $good);
put_file("$root/conf/db", $good);
put_file("$root/other.mmdb", $good);

put_file("$root/empty.mmdb", '');
put_file("$root/short.mmdb", substr $good, 0, -1);
put_file("$root/half.mmdb", substr $good, 0, length($good) / 2);
put_file("$root/text.mmdb", "this is no database\n" x 100);
put_file("$root/head.mmdb", "\xab\xcd\xefMaxMind.com");
put_file("$root/v3.mmdb", $good =~ s/(major_version)\xa1\x02/$1\xa1\x03/r);
put_file("$root/r20.mmdb", $good =~ s/(record_size)\xa1\x18/$1\xa1\x14/r);
put_file("$root/ip5.mmdb", $good =~ s/(ip_version)\xa1\x06/$1\xa1\x05/r);
put_file("$root/nodes.mmdb",
         $good =~ s/(node_count)\xc1./$1\xc3\xff\xff\xff/sr);
put_file("$root/zero.mmdb", $good =~ s/(node_count)\xc1./$1\xc1\0/sr);
put_file("$root/first.geo", "\$b country iso_code;\n");
put_file("$root/bad.geo", "\$d country iso_code;\n\n\$c;\n");
mkdir "$root/dir.mmdb";
mkfifo("$root/fifo.mmdb", 0600) or die "mkfifo: $!";

my $V = '$country country iso_code;';

# [name, http, config]
my @good = (
    ['one variable', "apiscale_geo db.mmdb { $V }"],
    ['a full path', "apiscale_geo $root/other.mmdb { $V }"],
    ['another suffix', "apiscale_geo db { $V }"],
    ['all parameters',
     "apiscale_geo db.mmdb source=\$arg_ip reload=1d { $V }"],
    ['parameters in another order',
     "apiscale_geo db.mmdb reload=500ms source=\$arg_ip\$arg_x { $V }"],
    (map { ["reload=$_", "apiscale_geo db.mmdb reload=$_ { $V }"] }
         qw(1ms 1s 30 1m 1h30m 1d 4w)),
    ['a constant source', "apiscale_geo db.mmdb source=192.0.2.1 { $V }"],
    ['defaults', 'apiscale_geo db.mmdb { $a default= x; $b default=x y z 0; }'],
    ['default= as an element of the path',
     'apiscale_geo db.mmdb { $a default=x default=y; }'],
    ['a path that is nowhere', 'apiscale_geo db.mmdb { $a no such path; }'],
    ['many variables', 'variables_hash_max_size 4096; apiscale_geo db.mmdb { '
        . (join ' ', map { "\$v$_ country iso_code;" } 1 .. 300) . ' }'],
    ['one file in several blocks, with several times',
     'apiscale_geo db.mmdb { $a x; } apiscale_geo db.mmdb reload=1h { $b x; }
      apiscale_geo db.mmdb reload=1m { $c x; }
      apiscale_geo db.mmdb source=$arg_ip { $d x; }'],
    ['several files',
     "apiscale_geo db.mmdb { \$a x; } apiscale_geo db { \$b x; }"],
    ['include', "apiscale_geo db.mmdb { $V include $root/first.geo; }"],
    ['a source that is declared later',
     "apiscale_geo db.mmdb source=\$m { $V } map \$arg_a \$m { default \$arg_a; }"],
    ['in maps and other places',
     "map \$country \$x { default 1; US 2; } apiscale_geo db.mmdb { $V }
      log_format geo '\$country \$x';", 'access_log logs/geo.log geo if=$x;
      if ($country) { return 200 $country; }'],
    ['the thread pool of others',
     "apiscale_geo db.mmdb reload=1s { $V } aio threads;"],
);

# [what nginx says, http, config]; the bad line is the one with "# HERE"
my @bad = (

    # the block
    [qr/invalid number of arguments in "apiscale_geo"/,
     "apiscale_geo { # HERE\n $V }"],
    [qr/invalid number of arguments in "apiscale_geo"/,
     "apiscale_geo db.mmdb source=\$a reload=1s x { # HERE\n $V }"],
    [qr/directive "apiscale_geo" has no opening "\{"/,
     'apiscale_geo db.mmdb; # HERE'],
    [qr/no variables are inside apiscale_geo "\S+db\.mmdb"/,
     "apiscale_geo db.mmdb {\n} # HERE"],
    [qr/no variables are inside apiscale_geo "\S+db\.mmdb"/,
     "apiscale_geo db.mmdb { $V }\napiscale_geo db.mmdb {\n} # HERE"],
    [qr/unexpected "\{"/, "apiscale_geo db.mmdb {\n \$a b { # HERE\n } }"],
    [qr/"apiscale_geo" directive is not allowed here/, '',
     "apiscale_geo db.mmdb { # HERE\n $V }"],
    [qr/"apiscale_geo" directive is not allowed here/, '',
     "location / {\napiscale_geo db.mmdb { # HERE\n $V } }"],
    (map { [qr/invalid parameter "\Q$_\E"/,
            "apiscale_geo db.mmdb \"$_\" { # HERE\n $V }"] }
         'x', 'source', 'source=', 'reload', 'reload=', 'reload=0',
         'reload=x', 'reload=-1s', 'reload=1y', 'reload=0ms', 'reload=$arg_r',
         'RELOAD=1s', 'reload=99999999999999999999d', ''),
    [qr/duplicate parameter "source=\$b"/,
     "apiscale_geo db.mmdb source=\$arg_a source=\$b { # HERE\n $V }"],
    [qr/duplicate parameter "reload=2s"/,
     "apiscale_geo db.mmdb reload=1s reload=2s { # HERE\n $V }"],
    [qr/invalid variable name/,
     "apiscale_geo db.mmdb source=\$ { # HERE\n $V }"],
    [qr/unknown "no_such" variable/,
     "apiscale_geo db.mmdb source=\$no_such { $V }"],

    # variables
    (map { [qr/invalid variable name "\Q$_\E"/,
            "apiscale_geo db.mmdb {\n\"$_\" country; # HERE\n}"] }
         'country', '', '$', 'default', '\$'),
    (map { [qr/no path for variable "\$a"/,
            "apiscale_geo db.mmdb {\n$_; # HERE\n}"] }
         '$a', '$a default=', '$a default=x'),
    [qr/invalid path element ""/,
     "apiscale_geo db.mmdb {\n\$a country \"\"; # HERE\n}"],
    [qr/invalid path element "a\0b"/,
     "apiscale_geo db.mmdb {\n\$a \"a\0b\"; # HERE\n}"],
    (map { [qr/the duplicate "\w+" variable/, $_] }
         "apiscale_geo db.mmdb {\n\$a x;\n\$a y; # HERE\n}",
         "apiscale_geo db.mmdb {\n\$a x;\n\$A y; # HERE\n}",
         "apiscale_geo db.mmdb { \$a x; }\napiscale_geo db {\n\$a y; # HERE\n}",
         "apiscale_geo db.mmdb {\n\$uri x; # HERE\n}",
         "apiscale_geo db.mmdb {\n\$remote_addr x; # HERE\n}",
         "apiscale_geo db.mmdb {\n\$apiscale_client_net x; # HERE\n}",
         "map \$uri \$a { default 1; }\napiscale_geo db.mmdb {\n\$a x; # HERE\n}",
         "apiscale_geo db.mmdb { \$a x; }\nmap \$uri \$a { # HERE\n default 1; }",
         "geo \$a { default 1; }\napiscale_geo db.mmdb {\n\$a x; # HERE\n}",
         "server { set \$a 1; }\napiscale_geo db.mmdb {\n\$a x; # HERE\n}",
         "apiscale_geo db.mmdb { \$a x; }\nserver {\nset \$a 1; # HERE\n}"),
    [qr/no path for variable "\$c" in \S+bad\.geo:3/,
     "apiscale_geo db.mmdb { include $root/bad.geo; }"],
    [qr/open\(\) "\S+nowhere" failed/,
     "apiscale_geo db.mmdb {\ninclude $root/nowhere; # HERE\n}"],

    # files
    [qr/open\(\) "\S+conf\/none\.mmdb" failed \(2: No such file/,
     "apiscale_geo none.mmdb { # HERE\n $V }"],
    [qr/open\(\) "" failed|"\S*" is not a regular file/,
     "apiscale_geo \"\" { # HERE\n $V }"],
    (map { [qr/"\S+" is not a regular file/,
            "apiscale_geo $_ { # HERE\n $V }"] }
         "$root/dir.mmdb", "$root/fifo.mmdb", '/dev/null', '/dev/zero'),
    [qr/"\S+empty\.mmdb" is empty/,
     "apiscale_geo $root/empty.mmdb { # HERE\n $V }"],
    (map { [qr/"\S+" is not a valid database: no metadata, it is truncated or/,
            "apiscale_geo $root/$_.mmdb { # HERE\n $V }"] }
         qw(half text)),
    (map { [qr/"\S+" is not a valid database: the metadata are malformed/,
            "apiscale_geo $root/$_.mmdb { # HERE\n $V }"] }
         qw(short head zero)),
    (map { [qr/"\S+" is not a valid database: the metadata tell of a format/,
            "apiscale_geo $root/$_.mmdb { # HERE\n $V }"] }
         qw(v3 r20 ip5)),
    [qr/"\S+" is not a valid database: it is shorter than its search tree/,
     "apiscale_geo $root/nodes.mmdb { # HERE\n $V }"],
    [qr/open\(\) "\S+" failed \(36: File name too long/,
     'apiscale_geo ' . ('x' x 300) . " { # HERE\n $V }"],
);

for my $case (@good) {
    my ($name, $http, $config) = @$case;
    my ($ok, $said) = $s->check(http => $http, config => $config // '');
    ok($ok, $name) or diag $said;
    unlike($said, qr/\[(?:warn|error|crit|alert)\]/, "$name: no word");
}

for my $case (@bad) {
    my ($reason, $http, $config) = @$case;
    my ($ok, $said, $status) = $s->check(http => $http,
                                         config => $config // '');
    my $text = $s->slurp('conf/nginx.conf');
    my $line = $text =~ /^(.*?)# HERE/s ? 1 + ($1 =~ tr/\n//) : undef;
    my $where = $line ? qr{ in \Q$s->{conf}\E:$line\b} : qr//;
    my $name = substr(($config // '') . $http, 0, 70) =~ s/[^ -~]/ /gr;

    ok(!$ok && !($status & 127), "refused: $name");
    like($said, qr/\[emerg\] .*$reason.*$where/, "with a reason: $name");
}

# a file that only root may read

SKIP: {
    skip 'root may read all', 1 if $> == 0;
    put_file("$root/secret.mmdb", $good);
    chmod 0, "$root/secret.mmdb";
    my (undef, $said) = $s->check(config => '',
        http => "apiscale_geo $root/secret.mmdb { $V }");
    like($said, qr/open\(\) "\S+" failed \(13: Permission denied\) in \S+:\d/,
         'no permission');
}

done_testing();
