# Loaded before each suite by tools/run-tests.  Gives Test::Nginx, through
# its own settings where it has them, what this project's suites count on:
#
# - a port and a server root of the suite's own, so that suites can run side
#   by side, with others on the same machine too;
# - servers that listen on 127.0.0.1 only;
# - "--- http2" on an nginx before 1.25.1, which has no "http2" directive;
# - a server that is stopped when the suite is interrupted;
# - every error log kept in one file a suite, also what a server writes as
#   it stops, for tools/run-tests to look through.

package ApiscaleNginx;

use strict;
use warnings;

use Cwd qw(getcwd);
use Fcntl qw(:flock O_CREAT O_RDWR);
use File::Path qw(make_path remove_tree);
use File::Spec;
use IO::Socket::INET;

use constant {
    FIRST_PORT => 23040,    # below the ports that Linux gives to clients
    PORTS      => 16,       # a suite may use the ones after its own
    SLOTS      => 64,
};

my ($Lock, $KeptLog, $OwnRoot);
my $Pid = $$;

# Runs after the END block of Test::Nginx::Util, which stops the server:
# blocks run in reverse of the order in which they are compiled.
END {
    if ($$ == $Pid && defined $OwnRoot) {
        keep_log();
        if (!$?) {
            remove_tree($OwnRoot);
        }
    }
}

sub claim_slot {
    my $build = File::Spec->rel2abs($ENV{BUILD} || 'build');
    my $dir = File::Spec->tmpdir() . "/apiscale-test-$<";
    make_path($dir);

    for my $slot (0 .. SLOTS - 1) {
        my $port = FIRST_PORT + $slot * PORTS;

        sysopen(my $lock, "$dir/$port", O_CREAT | O_RDWR, 0600) or next;
        flock($lock, LOCK_EX | LOCK_NB) or next;
        ports_free($port) or next;

        $Lock = $lock;
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

# empties the server root before a server is started anew
wrap(setup_server_root => sub {
    my ($old) = @_;
    sub { keep_log() if defined $OwnRoot; &$old };
});

1;
