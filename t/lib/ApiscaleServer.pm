# An nginx of its own for suites that need what Test::Nginx does not do:
# several workers, reloads with another configuration, raw connections.
#
# It runs in the server root and on the port that ApiscaleNginx claimed, with
# a master process and without a daemon's fork: the process that is started
# here is the master.

package ApiscaleServer;

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(time);

my @Running;

END {
    my $rc = $?;
    $_->stop for @Running;
    $? = $rc;
}

sub new {
    my ($class, %arg) = @_;

    return bless {
        workers => 1,
        port => $ENV{TEST_NGINX_SERVER_PORT},
        root => $ENV{TEST_NGINX_SERVROOT},
        %arg,
    }, $class;
}

sub port { $_[0]{port} }

# Writes the configuration: "http" is what stands in the http block, in which
# PORT, PORT1, PORT2.. and ROOT are replaced.
sub write_conf {
    my ($self, $http, $main) = @_;

    my $port = $self->{port};
    $http =~ s/PORT(\d*)/$port + ($1 || 0)/ge;
    $http =~ s/ROOT/$self->{root}/g;

    make_path("$self->{root}/conf", "$self->{root}/logs",
              "$self->{root}/html");

    open(my $out, '>', "$self->{root}/conf/nginx.conf") or die $!;
    print $out <<"END";
load_module $ENV{TEST_NGINX_APISCALE_SO};
worker_processes $self->{workers};
daemon off;
pid $self->{root}/logs/nginx.pid;
error_log $self->{root}/logs/error.log info;
@{[$main // '']}
events { worker_connections 512; }
http {
access_log off;
client_body_temp_path $self->{root}/body;
proxy_temp_path $self->{root}/proxy;
fastcgi_temp_path $self->{root}/fastcgi;
uwsgi_temp_path $self->{root}/uwsgi;
scgi_temp_path $self->{root}/scgi;
$http
}
END
    close $out;
}

sub command {
    my ($self) = @_;

    return ($ENV{TEST_NGINX_BINARY} || 'nginx', '-p', $self->{root},
            '-e', "$self->{root}/logs/error.log",
            '-c', "$self->{root}/conf/nginx.conf");
}

# what nginx -t says
sub test_conf {
    my ($self, $http) = @_;

    $self->write_conf($http);
    my $cmd = join ' ', map { "'$_'" } $self->command, '-t';

    return scalar `$cmd 2>&1`;
}

sub start {
    my ($self, $http) = @_;

    remove_tree($self->{root});
    $self->write_conf($http);

    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>>', "$self->{root}/logs/stderr";
        exec $self->command or POSIX::_exit(127);
    }

    $self->{pid} = $pid;
    push @Running, $self;

    $self->wait_for(sub {
        waitpid($pid, WNOHANG) == 0 or die "nginx did not start\n";
        $self->children == $self->{workers} && defined $self->connect;
    }, 'start');
}

sub stop {
    my ($self, $signal) = @_;

    my $pid = delete $self->{pid} or return;
    kill $signal // 'TERM', $pid;
    waitpid $pid, 0;
    @Running = grep { $_ != $self } @Running;
}

sub children {
    my ($self) = @_;

    open(my $in, '<', "/proc/$self->{pid}/task/$self->{pid}/children")
        or return ();

    return split ' ', scalar(<$in>) // '';
}

# Reloads, and waits for the new workers and for the end of the old ones; with
# "keep" these may still have a request, but accept no more.
sub reload {
    my ($self, $http, %opt) = @_;

    my %old = map { $_ => 1 } $self->children;

    $self->write_conf($http);
    kill 'HUP', $self->{pid};

    $self->wait_for(sub {
        my @now = $self->children;
        my @left = grep { $old{$_} } @now;

        if ($opt{keep}) {
            my $log = $self->log;
            @left = grep { $log !~ / $_#\d+: gracefully shutting down/ } @left;
        }

        @left == 0 && grep({ !$old{$_} } @now) == $self->{workers};
    }, 'reload');
}

sub wait_for {
    my ($self, $done, $what) = @_;

    my $end = time + 15;

    until ($done->()) {
        if (time > $end) {
            die "no $what within 15 seconds\n" . $self->log;
        }
        select undef, undef, undef, 0.005;
    }
}

sub connect {
    my ($self, $offset) = @_;

    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', Timeout => 5,
                                 PeerPort => $self->{port} + ($offset // 0));
}

# the body of the response; in list context status, header and body
sub get {
    my ($self, $path, @headers) = @_;

    my $s = $self->connect or die "cannot connect: $!";
    print $s join "\r\n", "GET $path HTTP/1.1", 'Host: localhost',
        'Connection: close', @headers, '', '';

    local $/;
    my $res = <$s> // '';
    my ($header, $body) = split /\r\n\r\n/, $res, 2;
    my ($status) = ($header // '') =~ /^HTTP\S+ (\d+)/;

    return wantarray ? ($status, $header, $body) : $body;
}

sub status {
    my ($self, $path) = @_;

    return JSON::PP->new->utf8->decode(scalar $self->get($path // '/status'));
}

sub log {
    my ($self) = @_;

    local $/;
    open(my $in, '<', "$self->{root}/logs/error.log") or return '';

    return <$in> // '';
}

# lines that no test should cause
sub alerts {
    my ($self) = @_;

    return join '', grep { /\[(?:alert|crit|emerg|error)\]/ }
                    map { "$_\n" } split /\n/, $self->log;
}

1;
