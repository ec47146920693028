# Workers that are not root, while the master is: they read a new file as their
# own user, and cannot read what only root may read.

use strict;
use warnings;

use File::Temp qw(tempdir);
use Test::More;
use ApiscaleMmdb;
use ApiscaleServer;

plan(skip_all => 'only root has workers of another user') if $> != 0;
plan(skip_all => 'this suite makes its own reloads')
    if $ENV{TEST_NGINX_USE_HUP};

# the server root may be where others cannot go
my $dir = tempdir('apiscale-t-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;
my $file = "$dir/db.mmdb";

sub db { mmdb({ '127.0.0.0/8' => { country => { iso_code => $_[0] } } }) }

my $s = ApiscaleServer->new;

put_file($file, db('AA'));
chmod 0600, $file;

$s->start(<<"END");
apiscale_geo $file reload=20ms { \$country country iso_code; }
server {
    listen 127.0.0.1:PORT;
    location / { return 200 \$country; }
    location /status { apiscale_status; }
}
END

is($s->get('/'), 'AA', 'what the master has read');

my ($worker) = $s->children;
isnt((stat "/proc/$worker")[4], 0, 'the worker is not root');
$s->wait_for(sub {
    $s->log =~ /\[error\] .*open\(\) "\S+db\.mmdb" failed \(13: Permission denied\)/
}, 'a line in the log');
is($s->get('/'), 'AA', 'a file for root alone: the old stays in use');

chmod 0644, $file;
put_file($file, db('BB'));
$s->wait_for(sub { $s->get('/') eq 'BB' }, 'the new file');
is($s->status->{geo}[0]{error}, undef, 'a file that the worker may read');

unlike($s->log, qr/\[(?:alert|crit|emerg)\]/, 'no alert');
$s->stop;

done_testing();
