# A server for suites that need more than Test::Nginx's blocks can say:
# reloads in mid-test, several clients at once, "nginx -t" in a loop,
# arithmetic on headers.
#
#     my $s = ApiscaleLab->new(http => '...', config => '...');
#     $s->start;
#     my $r = $s->get('/t', 'X-Key' => 'a');     # $r->{status}, h($r, NAME)
#     $s->reload(http => '...');                 # returns when it is done
#     my ($ok, $text) = $s->check;               # nginx -t
#     $s->stop;
#
# It has the port and the server root of the suite (see ApiscaleNginx), so
# that tools/run-tests finds its logs and stops it if the suite is killed.
# Each wait is for an event, with a deadline that is a failure.

package ApiscaleLab;

use strict;
use warnings;

use Exporter 'import';
use File::Path qw(make_path);
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time sleep);

our @EXPORT = qw(h hs parse_response wait_for port root);

use constant DEADLINE => 30;

sub port { $ENV{TEST_NGINX_SERVER_PORT} + ($_[0] || 0) }
sub root { $ENV{TEST_NGINX_SERVROOT} }

sub new {
    my ($class, %opt) = @_;

    my $self = bless {
        main => '', http => '', config => '', workers => 1,
        log_level => 'info', generation => 0, %opt,
    }, $class;

    my $root = root();
    make_path("$root/conf", "$root/logs", "$root/html");
    $self->{root} = $root;
    $self->{conf} = "$root/conf/nginx.conf";
    $self->{log} = "$root/logs/error.log";
    $self->{binary} = $ENV{TEST_NGINX_BINARY} || 'nginx';

    return $self;
}

# the whole configuration: "http" and "config" are the insides of the http
# block and of its first server
sub text {
    my ($self) = @_;

    my $port = port();
    my $gen = port(15);
    my $root = $self->{root};
    my $load = join '', map { "load_module $_;\n" }
                        split /\s+/, $ENV{TEST_NGINX_LOAD_MODULES} || '';
    my $user = $> == 0 ? 'user root root;' : '';

    my $access = $self->{http} =~ /\baccess_log\b/ ? '' : 'access_log off;';

    return <<"END";
$user
daemon on;
master_process on;
worker_processes $self->{workers};
error_log $root/logs/error.log $self->{log_level};
pid $root/logs/nginx.pid;
$load$self->{main}
events { worker_connections 512; }
http {
    $access
    default_type text/plain;
    keepalive_timeout 20s;
    client_body_temp_path $root/client_temp;
    proxy_temp_path $root/proxy_temp;
    fastcgi_temp_path $root/fastcgi_temp;
    uwsgi_temp_path $root/uwsgi_temp;
    scgi_temp_path $root/scgi_temp;

$self->{http}
    server {
        listen 127.0.0.1:$port;
        server_name localhost;
$self->{config}
    }

    server {
        listen 127.0.0.1:$gen;
        location / { return 200 "$self->{generation}"; }
    }
}
END
}

sub write_conf {
    my ($self, %opt) = @_;

    $self->{$_} = $opt{$_} for keys %opt;
    $self->{generation}++;
    $self->file('conf/nginx.conf', $self->text);
}

sub command {
    my ($self, @args) = @_;

    return ($self->{binary}, '-e', $self->{log}, '-p', "$self->{root}/",
            '-c', $self->{conf}, @args);
}

# nginx -t: whether it passed, what it said, its exit status as of wait()
sub check {
    my ($self, %opt) = @_;

    $self->write_conf(%opt);
    return $self->run_t;
}

sub run_t {
    my ($self) = @_;

    my @cmd = $self->command('-t');
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open(STDERR, '>&', \*STDOUT);
        exec @cmd or POSIX::_exit(127);
    }
    local $/;
    my $text = <$out>;
    close $out;
    my $status = $?;

    # it makes one, too, which stays empty unless a server is running
    unlink "$self->{root}/logs/nginx.pid" if -z "$self->{root}/logs/nginx.pid";

    return ($status == 0, $text // '', $status);
}

sub start {
    my ($self, %opt) = @_;

    $self->write_conf(%opt);
    system($self->command) == 0 or die "nginx did not start: "
        . $self->error_log;
    wait_for(sub { $self->pid && $self->answers }, 'the start');
    return $self;
}

sub pid {
    my ($self) = @_;

    my $pid = $self->slurp('logs/nginx.pid');
    return $pid =~ /(\d+)/ ? $1 : undef;
}

sub answers {
    my ($self) = @_;

    my $r = eval { $self->request("GET / HTTP/1.0\r\n\r\n",
                                  port => port(15)) };
    return $r && $r->{body} eq $self->{generation};
}

# the pids of the workers that are alive, those that shut down too
sub workers {
    my ($self) = @_;

    my $pid = $self->pid or return;
    open(my $in, '<', "/proc/$pid/task/$pid/children") or return;
    my $line = <$in> // '';
    return split ' ', $line;
}

# returns when the workers before the reload are gone and the new ones answer
sub reload {
    my ($self, %opt) = @_;

    my %old = map { $_ => 1 } $self->workers;
    $self->write_conf(%opt);
    kill 'HUP', $self->pid;
    wait_for(sub {
        my @w = $self->workers;
        return @w && !(grep { $old{$_} } @w) && $self->answers;
    }, 'the reload');
    return $self;
}

sub stop {
    my ($self, $signal) = @_;

    my $pid = $self->pid or return;
    kill $signal || 'QUIT', $pid;
    wait_for(sub { !-e "$self->{root}/logs/nginx.pid" && !kill(0, $pid) },
             'the stop');
}

sub error_log { $_[0]->slurp('logs/error.log') }

# what was logged since the last call
sub new_log {
    my ($self) = @_;

    my $all = $self->error_log;
    my $new = substr($all, $self->{seen} || 0);
    $self->{seen} = length $all;
    return $new;
}

# lines of the log that no suite wants to see
sub complaints {
    my ($self, $levels) = @_;

    $levels ||= 'emerg|alert|crit|error';
    return join "\n", grep { /\[(?:$levels)\]/ } split /\n/, $self->error_log;
}

sub slurp {
    my ($self, $name) = @_;

    open(my $in, '<', "$self->{root}/$name") or return '';
    binmode $in;
    local $/;
    return <$in> // '';
}

sub file {
    my ($self, $name, $text) = @_;

    open(my $out, '>', "$self->{root}/$name") or die "$name: $!";
    binmode $out;
    print $out $text;
    close $out or die $!;
}

sub wait_for {
    my ($event, $what) = @_;

    my $end = time + DEADLINE;
    while (!$event->()) {
        die "waited " . DEADLINE . " s for $what\n" if time > $end;
        sleep 0.01;
    }
}

sub connect {
    my ($self, %opt) = @_;

    my $sock;
    if ($opt{unix}) {
        $sock = IO::Socket::UNIX->new(Peer => $opt{unix});

    } elsif ($opt{host} && $opt{host} =~ /:/) {
        require IO::Socket::IP;
        $sock = IO::Socket::IP->new(PeerHost => $opt{host},
                                    PeerPort => $opt{port} || port());
    } else {
        $sock = IO::Socket::INET->new(
            PeerAddr => $opt{host} || '127.0.0.1',
            PeerPort => $opt{port} || port());
    }
    die "connect: $!" if !$sock;
    setsockopt($sock, IPPROTO_TCP, TCP_NODELAY, 1) if !$opt{unix};
    binmode $sock;
    return $sock;
}

# sends "text" and reads one response, or "count" of them in turn
sub request {
    my ($self, $text, %opt) = @_;

    my $sock = $opt{sock} || $self->connect(%opt);
    send_all($sock, $text);

    my @r;
    my $buf = '';
    for (1 .. $opt{count} || 1) {
        my $r = read_response($sock, \$buf, $opt{head}) or last;
        push @r, $r;
    }
    return $opt{count} ? @r : $r[0];
}

sub send_all {
    my ($sock, $text) = @_;

    local $SIG{PIPE} = 'IGNORE';
    my $done = 0;
    while ($done < length $text) {
        my $n = syswrite($sock, $text, 65536, $done) // last;
        $done += $n;
    }
}

sub more {
    my ($sock, $buf) = @_;

    IO::Select->new($sock)->can_read(DEADLINE)
        or die "no response within " . DEADLINE . " s, so far: $$buf\n";
    return sysread($sock, $$buf, 65536, length $$buf);
}

sub read_response {
    my ($sock, $buf, $head) = @_;

    until ($$buf =~ /\r\n\r\n/) {
        more($sock, $buf) or return;
    }
    $$buf =~ s/^(.*?\r\n)\r\n//s;
    my $r = parse_response($1);

    if ($head || $r->{status} == 304 || $r->{status} == 204) {
        return $r;
    }

    if (defined(my $len = h($r, 'Content-Length'))) {
        while (length $$buf < $len) {
            more($sock, $buf) or last;
        }
        $r->{body} = substr($$buf, 0, $len, '');

    } elsif ((h($r, 'Transfer-Encoding') || '') eq 'chunked') {
        while (1) {
            until ($$buf =~ /^([0-9a-f]+)\r\n/i) {
                more($sock, $buf) or return $r;
            }
            my ($size) = $$buf =~ /^([0-9a-f]+)/i;
            my $n = hex $size;
            my $skip = length($size) + 2;
            while (length $$buf < $skip + $n + 2) {
                more($sock, $buf) or return $r;
            }
            $r->{body} .= substr($$buf, $skip, $n);
            substr($$buf, 0, $skip + $n + 2) = '';
            last if $n == 0;
        }

    } else {
        1 while more($sock, $buf);
        $r->{body} = $$buf;
        $$buf = '';
    }
    return $r;
}

sub parse_response {
    my ($text) = @_;

    my ($first, @lines) = split /\r\n/, $text;
    my ($status) = $first =~ m{^HTTP/\d(?:\.\d)? (\d{3})} or return;
    return { status => $status, head => $text, body => '',
             headers => [ map { /^([^:]+):\s*(.*?)\s*$/ ? [$1, $2] : () }
                          @lines ] };
}

# the value of the first header line of that name; "hs": of all of them
sub h {
    my ($r, $name) = @_;
    my @v = hs($r, $name);
    return $v[0];
}

sub hs {
    my ($r, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$r->{headers}};
}

# get($uri, HEADER => VALUE...), with { method, body, sock, port ...} last
sub get {
    my ($self, $uri, @headers) = @_;

    my %opt = @headers && ref $headers[-1] ? %{pop @headers} : ();
    my $method = $opt{method} || 'GET';
    my $text = "$method $uri HTTP/1.1\r\n";
    my %seen;
    for (my $i = 0; $i < @headers; $i += 2) {
        $text .= "$headers[$i]: $headers[$i + 1]\r\n";
        $seen{lc $headers[$i]} = 1;
    }
    $text .= "Host: localhost\r\n" if !$seen{host};
    $text .= "Connection: close\r\n" if !$opt{sock} && !$seen{connection};
    $text .= "Content-Length: " . length($opt{body}) . "\r\n"
        if defined $opt{body};
    $text .= "\r\n" . ($opt{body} // '');

    return $self->request($text, %opt, head => $method eq 'HEAD');
}

1;
