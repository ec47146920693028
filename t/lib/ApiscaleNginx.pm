# Loaded before each suite by tools/run-tests.  Gives Test::Nginx, through
# its own settings where it has them, what this project's suites count on:
#
# - a port and a server root of the suite's own, so that suites can run side
#   by side, with others on the same machine too;
# - servers that listen on 127.0.0.1 only;
# - "--- http2" on an nginx before 1.25.1, which has no "http2" directive;
# - a server that is stopped when the suite is interrupted, and a suite that
#   goes on when a server closes a connection which is being written to;
# - a suite whose server does not start fails, it does not end the run of
#   the others;
# - with reloads, a wait for the new configuration that starts no curl;
# - the server root of a suite that failed, in build/servroot/failed-*;
# - every error log kept in one file a suite, also what a server writes as
#   it stops, for tools/run-tests to look through.

package ApiscaleNginx;

use strict;
use warnings;

use Cwd qw(getcwd);
use File::Path qw(make_path remove_tree);
use File::Spec;
use IO::Socket::INET;
use IO::Socket::UNIX;

use constant {
    FIRST_PORT => 23040,    # below the ports that Linux gives to clients
    PORTS      => 16,       # a suite may use the ones after its own
    SLOTS      => 64,
};

my ($Lock, $KeptLog, $OwnRoot, $FailedRoot);
my $Pid = $$;

# Runs after the END block of Test::Nginx::Util, which stops the server:
# blocks run in reverse of the order in which they are compiled.
END {
    if ($$ == $Pid && defined $OwnRoot) {
        keep_log();
        if ($?) {
            rename($OwnRoot, $FailedRoot);
        } else {
            remove_tree($OwnRoot);
        }
    }
}

sub claim_slot {
    my $build = File::Spec->rel2abs($ENV{BUILD} || 'build');

    for my $slot (0 .. SLOTS - 1) {
        my $port = FIRST_PORT + $slot * PORTS;

        # A socket of an abstract name, in place of a lock file: every user
        # and chroot of the machine sees it, and it goes with the process.
        # A port alone looks free while a server is started anew.
        $Lock = IO::Socket::UNIX->new(Listen => 1,
            Local => "\0apiscale-test-$port") or next;
        ports_free($port) or next;

        $OwnRoot = "$build/servroot/$port";
        make_path("$build/servroot");
        remove_tree($OwnRoot);

        $ENV{TEST_NGINX_SERVER_PORT} = $port;
        $ENV{TEST_NGINX_SERVROOT} = $OwnRoot;

        (my $suite = $0) =~ s{^\./}{};
        $suite =~ s{[^-\w.]+}{_}g;
        make_path("$build/logs");
        $KeptLog = "$build/logs/$suite"
                   . ($ENV{TEST_NGINX_USE_HUP} ? '.hup' : '') . '.log';
        unlink $KeptLog;
        $FailedRoot = "$build/servroot/failed-$suite";
        remove_tree($FailedRoot);
        return;
    }

    die "no " . PORTS . " free ports in a row from " . FIRST_PORT . " on\n";
}

sub ports_free {
    my ($port) = @_;

    for my $p ($port .. $port + PORTS - 1) {
        IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $p,
                              Listen => 1, ReuseAddr => 1) or return 0;
    }

    return 1;
}

BEGIN {
    # without this END blocks do not run, and the server stays
    $SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 130 };

    # a handler, not IGNORE, which programs started here would inherit
    $SIG{PIPE} = sub { };

    if (!defined $ENV{TEST_NGINX_SERVER_PORT}) {
        claim_slot();
    }
}

use Test::Nginx::Util ();

# appends the server's error log to the suite's
sub keep_log {
    my $log = "$OwnRoot/logs/error.log";

    open(my $in, '<', $log) or return;
    open(my $out, '>>', $KeptLog) or return;
    print $out $_ while <$in>;
    unlink $log;
}

sub fix_conf {
    my $file = $Test::Nginx::Util::ConfFile;
    my $no_http2 = $Test::Nginx::Util::NginxVersion lt '1.025001';

    open(my $in, '<', $file) or die "$file: $!";
    my @lines = <$in>;
    close $in;

    for (@lines) {
        if (s/^(\s*listen\s+)(\d+)\b/${1}127.0.0.1:$2/ && $no_http2) {
            s/;\s*http2 on;/ http2;/;
        }
    }

    open(my $out, '>', $file) or die "$file: $!";
    print $out @lines;
    close $out or die "$file: $!";
}

# the body of http://127.0.0.1:port/ver, which names the configuration
sub config_version {
    my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $ENV{TEST_NGINX_SERVER_PORT}, Timeout => 2) or return '';

    print $sock "GET /ver HTTP/1.0\r\nHost: Test-Nginx\r\n\r\n";
    local $/;
    my $response = <$sock> // '';
    return $response =~ /\r\n\r\n(.*)/s ? $1 : '';
}

# the processes whose parent is the server's master
sub workers {
    open(my $in, '<', $Test::Nginx::Util::PidFile) or return;
    my ($master) = <$in> =~ /^(\d+)$/ or return;
    my @workers;

    for my $file (glob '/proc/[0-9]*/stat') {
        open(my $stat, '<', $file) or next;
        push @workers, $1
            if (<$stat> // '') =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $master;
    }

    return @workers;
}

# tells whether a process has a TCP socket that listens
sub listens {
    my ($pid) = @_;
    my %inode;

    for my $file ('/proc/net/tcp', '/proc/net/tcp6') {
        open(my $in, '<', $file) or next;
        while (my $line = <$in>) {
            my @field = split ' ', $line;
            $inode{"socket:[$field[9]]"} = 1 if $field[3] eq '0A';
        }
    }

    return grep { $inode{ readlink($_) // '' } } glob "/proc/$pid/fd/*";
}

my @Old;    # the workers before a reload

# Returns when the new configuration answers and no old worker listens: one
# that does may take a connection, and close it as an idle one.
sub wait_for_reload {
    my ($name) = @_;
    my $deadline = time() + 30;

    while (time() < $deadline) {
        return if config_version() eq $Test::Nginx::Util::ConfigVersion
                  && !grep { listens($_) } @Old;
        select(undef, undef, undef, 0.005);
    }

    Test::More::fail("$name - the configuration was not reloaded in 30 s");
}

sub wrap {
    my ($name, $make) = @_;

    no strict 'refs';
    no warnings qw(redefine prototype);

    my $sub = "Test::Nginx::Util::$name";
    defined &$sub or die "Test::Nginx has changed: no $sub\n";
    *$sub = $make->(\&$sub);
}

wrap(write_config_file => sub {
    my ($old) = @_;
    sub { &$old; fix_conf() };
});

# empties the server root before a server is started or reloaded
wrap(setup_server_root => sub {
    my ($old) = @_;
    sub {
        keep_log() if defined $OwnRoot;
        @Old = workers();
        &$old;
    };
});

wrap(bail_out => sub {
    sub {
        Test::More::fail("bailed out: @_");
        exit 1;
    };
});

wrap(test_config_version => sub {
    my ($old) = @_;
    sub {
        my ($name, $block) = @_;
        return &$old if &Test::Nginx::Util::use_http2($block);
        wait_for_reload($name);
    };
});

1;
