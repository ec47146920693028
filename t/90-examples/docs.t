# nginx -t on every piece of configuration in README and docs/.  A piece that
# is not complete is put where it belongs; "..." stands for what is left out.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Temp qw(tempdir);
use Test::More;

use ApiscaleMmdb;

plan skip_all => 'configurations are not reloaded'
    if $ENV{TEST_NGINX_USE_HUP};

my $top = abs_path(dirname(__FILE__) . '/../..');
my $nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
my $so = $ENV{TEST_NGINX_APISCALE_SO}
         || "$top/build/ngx_http_apiscale_module.so";

my $dir = tempdir('apiscale-t-XXXXXX', TMPDIR => 1, CLEANUP => 1);
mkdir "$dir/logs";
write_mmdb("$dir/db.mmdb", { '127.0.0.0/8' => { country => { } } });

# the file of apiscale_consumers
open(my $file, '>', "$dir/consumers.json") or die "$dir: $!";
print $file '{"consumers":[]}';
close $file;

# the first word of a piece that belongs into http { }
my $http = qr/^(?:server|map|log_format|upstream
                  |apiscale_(?:limit_zone|metrics_zone|api|consumers|geo))
                  \b/mx;

sub complete {
    my ($s) = @_;

    $s =~ s/^\s*load_module\s.*\n//mg;
    $s =~ s/^(\s*)\.\.\.(?=\s*(?:#.*)?$)/$1/mg;
    $s =~ s/\{ \.\.\. \}/{ }/g;
    $s =~ s/ \.\.\. \}/ }/g;

    # alternatives
    1 while $s =~ s/^apiscale_metrics_zone\s.*\n(?=apiscale_metrics_zone\s)//m;

    $s =~ s{[^\s;]+\.mmdb\b}{$dir/db.mmdb}g;

    # names that this machine cannot resolve, addresses it may not have
    $s =~ s{(proxy_pass\s+http://)[a-z][^\s;/]*}{${1}127.0.0.1:9}g;
    $s =~ s/^\s*listen\s[^;]*;//mg;

    if ($s !~ /^http\b/m) {
        my %zone = map { $_ => 1 }
                   $s =~ /apiscale_limit\s[^;]*?\bzone=([\w-]+)/g;
        delete $zone{$_} for $s =~ /apiscale_limit_zone\s+zone=([\w-]+)/g;

        my %api = map { $_ => 1 } $s =~ /apiscale_use_api\s+(?!off)([\w.-]+)/g;
        delete $api{$_} for $s =~ /apiscale_api\s+([\w.-]+)/g;

        my %geo = map { $_ => 1 } $s =~ /\$(geo_\w+)/g;
        delete $geo{$_} for $s =~ /^\s*\$(geo_\w+) .* ;$/mgx;

        my $before = join '', (map { "apiscale_limit_zone zone=$_:1m;\n" }
                               sort keys %zone),
                              (map { "apiscale_geo $dir/db.mmdb { \$$_ x; }\n" }
                               sort keys %geo),
                              (map { "apiscale_api $_ { version 1 { } }\n" }
                               sort keys %api);
        $before .= "apiscale_consumers zone=c:1m file=consumers.json;\n"
            if $s =~ /apiscale_consumer\s/ && $s !~ /apiscale_consumers/;
        $before .= "apiscale_metrics_zone zone=metrics:1m;\n"
            if $s =~ /apiscale_metrics\s/ && $s !~ /apiscale_metrics_zone/;

        # what is for the main context comes first, as it is
        my $main = '';
        $main .= $1 while $s =~ s/^(error_log\s[^;]*;\n)//m;

        $s = "server {\n$s\n}\n" if $s !~ $http;
        $s = "${main}http {\n$before$s\n}\n";
    }

    $s =~ s/\bserver\s*\{/server { listen unix:$dir\/s;/g;
    $s =~ s/^http\s*\{/http {\n/m;
    # a user who is not root cannot write to Debian's own places
    my $own = join '', "access_log $dir/access.log;\n",
                       map { "${_}_temp_path $dir/$_;\n" }
                       qw(client_body proxy fastcgi uwsgi scgi);
    $s =~ s/^http \{\n/http {\n$own/m;

    return "load_module $so;\n"
           . ($s =~ /^events\b/m ? '' : "events { }\n") . $s;
}

my @pages = ("$top/README.md");
find({ no_chdir => 1, wanted => sub { push @pages, $_ if /\.md$/ } },
     "$top/docs");

for my $page (sort @pages) {
    open(my $in, '<', $page) or die "$page: $!";
    my ($piece, $first);

    while (my $line = <$in>) {
        if (!defined $piece) {
            ($piece, $first) = ('', $.) if $line =~ /^\s*```nginx\s*$/;
            next;
        }

        if ($line !~ /^\s*```\s*$/) {
            $piece .= $line;
            next;
        }

        my $conf = complete($piece);
        undef $piece;

        open(my $out, '>', "$dir/nginx.conf") or die "$dir: $!";
        print $out $conf;
        close $out;

        open(my $nginx_t, '-|', qq{'$nginx' -t -e stderr -p '$dir/' -c}
             . qq{ '$dir/nginx.conf' -g 'pid $dir/pid;' 2>&1 </dev/null})
            or die "$nginx: $!";
        my $said = join '', <$nginx_t>;
        close $nginx_t;

        is($?, 0, substr($page, length($top) + 1) . ":$first")
            or diag "$said\n$conf";
    }
}

done_testing();
