# One nginx for a whole suite, and requests that are sent byte by byte as
# they are written: for what Test::Nginx would not send, and for suites of
# hundreds of cases that need no server of their own.
#
# In the text of the http block PORT, PORT1, PORT2.. are the suite's ports
# and ROOT is the server root, both from ApiscaleNginx.

package ApiscaleRaw;

use strict;
use warnings;

use File::Path qw(make_path remove_tree);
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

my $Owner = $$;
my $Pid;

END {
    my $rc = $?;
    if ($$ == $Owner && $Pid) {
        kill 'TERM', $Pid;
        waitpid $Pid, 0;
    }
    $? = $rc;
}

sub new {
    my ($class) = @_;

    return bless {
        port => $ENV{TEST_NGINX_SERVER_PORT},
        root => $ENV{TEST_NGINX_SERVROOT},
    }, $class;
}

sub root { $_[0]{root} }

sub write_conf {
    my ($self, $http) = @_;

    $http =~ s/\bPORT(\d*)\b/$self->{port} + ($1 || 0)/ge;
    $http =~ s/\bROOT\b/$self->{root}/g;

    make_path(map { "$self->{root}/$_" } qw(conf logs html));
    open(my $out, '>', "$self->{root}/conf/nginx.conf") or die $!;
    print $out <<"END";
load_module $ENV{TEST_NGINX_APISCALE_SO};
daemon off;
pid $self->{root}/logs/raw.pid;
error_log $self->{root}/logs/error.log info;
events { worker_connections 128; }
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
    close $out or die $!;
}

sub command {
    my ($self) = @_;

    return ($ENV{TEST_NGINX_BINARY} || 'nginx', '-p', $self->{root},
            '-e', "$self->{root}/logs/error.log",
            '-c', "$self->{root}/conf/nginx.conf");
}

# what nginx -t says, and as the last line how it ended if by a signal
sub test_conf {
    my ($self, $http) = @_;

    $self->write_conf($http);

    my $pid = open(my $from, '-|') // die "fork: $!";
    if ($pid == 0) {
        open STDERR, '>&', \*STDOUT;
        exec $self->command, '-t' or POSIX::_exit(127);
    }

    local $/;
    my $said = <$from> // '';
    close $from;

    return $said . ($? & 127 ? 'killed by signal ' . ($? & 127) . "\n" : '');
}

# starts the server; the one of before is stopped
sub start {
    my ($self, $http) = @_;

    $self->stop;
    $self->write_conf($http);

    $Pid = fork // die "fork: $!";
    if ($Pid == 0) {
        open STDERR, '>>', "$self->{root}/logs/stderr";
        exec $self->command or POSIX::_exit(127);
    }

    my $end = time + 15;
    until ($self->connect) {
        if (waitpid($Pid, WNOHANG) != 0 || time > $end) {
            undef $Pid;
            open(my $in, '<', "$self->{root}/logs/stderr");
            die "nginx did not start: ", <$in>;
        }
        sleep 0.01;
    }
}

sub stop {
    my ($self) = @_;

    my $pid = $Pid or return;
    undef $Pid;
    kill 'TERM', $pid;
    waitpid $pid, 0;
}

sub connect {
    my ($self) = @_;

    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', Timeout => 10,
                                 PeerPort => $self->{port});
}

# what the server answers to these bytes until it closes
sub raw {
    my ($self, $bytes) = @_;

    my $sock = $self->connect or die "connect: $!";
    print $sock $bytes;
    local $/;

    return scalar(<$sock>) // '';
}

# the body of the response; in list context status, header and body
sub get {
    my ($self, $path, @headers) = @_;

    my $method = $path =~ s/^([A-Z]+) // ? $1 : 'GET';
    my $response = $self->raw(join "\r\n", "$method $path HTTP/1.1",
                              'Host: localhost', 'Connection: close',
                              @headers, '', '');
    my ($header, $body) = split /\r\n\r\n/, $response, 2;
    my ($status) = ($header // '') =~ /^HTTP\S+ (\d+)/;

    return wantarray ? ($status, $header, $body // '') : $body;
}

# lines that no suite should cause
sub alerts {
    my ($self) = @_;

    open(my $in, '<', "$self->{root}/logs/error.log") or return '';

    return join '', grep { /\[(?:alert|crit|emerg|error)\]/ } <$in>;
}

1;
