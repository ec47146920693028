#!/usr/bin/perl
#
# The client of tools/bench, for what needs an exact number of requests:
#
#     client.pl ports N           N free ports of 127.0.0.1
#     client.pl get PORT N URI    N requests on one connection, one after
#                                 the other; prints the first response's
#                                 header
#     client.pl clients PORT N URI
#                                 a request of each of N other addresses
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
    my ($port, $n, $uri) = @ARGV;
    print get(connect_to($port), $n, $uri);

} elsif ($mode eq 'clients') {
    my ($port, $n, $uri) = @ARGV;
    get(connect_to($port, address($_)), 1, $uri) for 1 .. $n;

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


# all of 127.0.0.0/8 is this machine; 127.0.0.1 is kept for "get"
sub address {
    my ($i) = @_;

    return sprintf('127.1.%d.%d', $i >> 8, $i & 255);
}


# a server under valgrind takes seconds to start
sub connect_to {
    my ($port, $from) = @_;

    for (1 .. 600) {
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port",
                                      LocalAddr => $from // '127.0.0.1');
        if ($s) {
            setsockopt($s, IPPROTO_TCP, TCP_NODELAY, 1);
            return $s;
        }
        select(undef, undef, undef, 0.1);
    }

    die "nothing listens on port $port\n";
}


# the header of the first response
sub get {
    my ($s, $n, $uri) = @_;

    my $first;
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

        $first //= $header =~ s/\r//gr;
    }

    return $first;
}
