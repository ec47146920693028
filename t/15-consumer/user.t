# Workers that are not root, while the master is: they read a new file as their
# own user, and cannot read what only root may read.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(sleep);
use ApiscaleServer;

plan(skip_all => 'only root has workers of another user') if $> != 0;
plan(skip_all => 'this suite makes its own reloads')
    if $ENV{TEST_NGINX_USE_HUP};

# the server root may be where others cannot go
my $dir = tempdir('apiscale-t-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
my $file = "$dir/c.json";

sub put {
    my ($id, $mode) = @_;
    open(my $out, '>', "$file.new") or die $!;
    print $out qq({"consumers":[{"id":"$id","keys":["sha256:),
               sha256_hex('k'), qq("]}]});
    close $out;
    chmod $mode, "$file.new";
    rename "$file.new", $file or die $!;
}

my $s = ApiscaleServer->new;

put('one', 0600);

$s->start(<<"END");
apiscale_consumers zone=c:1m file=$file reload=20ms;
server {
    listen 127.0.0.1:PORT;
    location / { return 200 \$apiscale_consumer; }
    location /status { apiscale_status; }
}
END

my $who = sub { scalar $s->get('/', 'X-API-Key: k') };

is($who->(), 'one', 'what the master has read');

my ($worker) = $s->children;
isnt((stat "/proc/$worker")[4], 0, 'the worker is not root');

put('two', 0600);
my $denied = qr/\[error\] .*open\(\) "\S+c\.json" failed \(13: Permission denied\), consumers loaded before are kept/;
$s->wait_for(sub { $s->log =~ $denied }, 'a line in the log');
sleep 0.3;
my $n = () = $s->log =~ /$denied/g;
cmp_ok($n, '<=', 2, 'one line for each file, no more');
is($who->(), 'one', 'a file for root alone: the old stays in use');
like($s->status->{consumers}{error}, qr/Permission denied/, 'status');

chmod 0644, $file;
$s->wait_for(sub { $who->() eq 'two' }, 'the new file');
is($s->status->{consumers}{error}, undef, 'a file that the worker may read');

$s->stop;
done_testing();
