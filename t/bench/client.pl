#!/usr/bin/perl
#
# The client of tools/bench, for what needs an exact number of requests:
#
#     client.pl ports N           N free ports of 127.0.0.1
#     client.pl get PORT N URI    N requests on one connection, one after
#                                 the other; prints the first response's
#                                 header
#
# Waits for a server that is just being started.  Fails when a response is
# not a 200 or the connection is closed.

use strict;
use warnings;

use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);

$| = 1;
$SIG{ALRM} = sub { die "no answer in time\n" };

my $mode = shift // '';

if ($mode eq 'ports') {
    ports(@ARGV);

} elsif ($mode eq 'get') {
    get(@ARGV);

} else {
    die "unknown mode \"$mode\"\n";
}


# all are held until the last is found, else one might be told twice
sub ports {
    my ($n) = @_;

    my @held = map {
        IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
            or die "no free port: $!\n"
    } 1 .. $n;

    print $_->sockport(), "\n" for @held;
}


# a server under valgrind takes seconds to start
sub connect_to {
    my ($port) = @_;

    for (1 .. 600) {
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        if ($s) {
            setsockopt($s, IPPROTO_TCP, TCP_NODELAY, 1);
            return $s;
        }
        select(undef, undef, undef, 0.1);
    }

    die "nothing listens on port $port\n";
}


sub get {
    my ($port, $n, $uri) = @_;

    my $s = connect_to($port);
    my $request = "GET $uri HTTP/1.1\r\nHost: bench\r\n\r\n";

    for my $i (1 .. $n) {
        alarm 60;
        syswrite($s, $request) == length $request or die "write: $!\n";

        my $in = '';
        while ($in !~ /\r\n\r\n/) {
            sysread($s, $in, 16384, length $in)
                or die "closed after $i requests\n";
        }

        my ($header, $body) = $in =~ /^(.*?\r\n)\r\n(.*)$/s;

        $header =~ m{^HTTP/1\.1 200 } or die "not a 200:\n$header";
        my ($len) = $header =~ /^Content-Length: (\d+)/mi
            or die "no Content-Length:\n$header";

        while (length $body < $len) {
            sysread($s, $body, $len - length $body, length $body)
                or die "closed within response $i\n";
        }

        print $header =~ s/\r//gr if $i == 1;
    }
}
