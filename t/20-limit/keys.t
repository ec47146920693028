# Keys: networks of clients, strange and huge values, more than a zone holds.

use strict;
use warnings;

use IO::Socket::IP;
use Test::More;
use ApiscaleLab;

my $root = root();
my $port = port();
my $unix = "$root/s.sock";

# ::1 may be missing on a machine without IPv6
my $ipv6 = IO::Socket::IP->new(LocalHost => '::1', LocalPort => port(2),
                               Listen => 1, ReuseAddr => 1) ? 1 : 0;
my $listen6 = $ipv6 ? "listen [::1]:$port;" : '';

my $s = ApiscaleLab->new(
    http => <<"END",
    apiscale_limit_log_level info;
    apiscale_limit_zone zone=z:1m;
    apiscale_limit_zone zone=tiny:32k;
    large_client_header_buffers 8 128k;
    client_header_buffer_size 1k;
    real_ip_header X-Real-IP;
    add_header X-Net "[\$apiscale_client_net]" always;
    add_header X-Status \$apiscale_limit_status always;
END
    config => <<"END");
        $listen6
        listen unix:$unix;
        location /raw { apiscale_limit zone=z rate=1r/h policy=raw; empty_gif; }
        location /net {
            set_real_ip_from 127.0.0.1;
            set_real_ip_from ::1;
            set_real_ip_from unix:;
            apiscale_limit zone=z rate=1r/h policy=net;
            empty_gif;
        }
        location /wide {
            set_real_ip_from 127.0.0.1;
            apiscale_client_net 24 48;
            apiscale_limit zone=z rate=1r/h policy=wide;
            empty_gif;
        }
        location /odd {
            set_real_ip_from 127.0.0.1;
            apiscale_client_net 21 61;
            apiscale_limit zone=z rate=1r/h policy=odd;
            empty_gif;
        }
        location /all {
            set_real_ip_from 127.0.0.1;
            apiscale_client_net 0 0;
            apiscale_limit zone=z rate=1r/h policy=all;
            empty_gif;
        }
        location /exact {
            set_real_ip_from 127.0.0.1;
            apiscale_client_net 32 128;
            apiscale_limit zone=z rate=1r/h policy=exact;
            empty_gif;
        }
        location /xff {
            set_real_ip_from 127.0.0.1;
            real_ip_header X-Forwarded-For;
            apiscale_limit zone=z rate=1r/h policy=xff;
            empty_gif;
        }
        location /arg { apiscale_limit zone=z key=\$arg_k rate=1r/h policy=arg; empty_gif; }
        location /uri { apiscale_limit zone=z key=\$uri rate=1r/h policy=uri; empty_gif; }
        location /head { apiscale_limit zone=z key=\$http_x_key rate=1r/h policy=head; empty_gif; }
        location /tiny { apiscale_limit zone=tiny key=\$arg_k rate=1r/h burst=2 policy=tiny; empty_gif; }
        location /idle { apiscale_limit zone=tiny key=\$arg_k rate=1000r/s burst=1 policy=idle; empty_gif; }
        location /json { apiscale_status; }
END

$s->start;

sub net { return ($s->get($_[0], 'X-Real-IP' => $_[1]))[0] }

# each of these is [uri, address, status, $apiscale_client_net], in order

for (
    ['/net', '192.0.2.1', 200, '192.0.2.1'],
    ['/net', '192.0.2.1', 429, '192.0.2.1'],
    ['/net', '192.0.2.2', 200, '192.0.2.2'],
    ['/net', '::ffff:192.0.2.1', 429, '192.0.2.1'],
    ['/net', '::ffff:192.0.2.3', 200, '192.0.2.3'],
    ['/net', '192.0.2.3', 429, '192.0.2.3'],
    ['/net', '2001:db8:1:2::1', 200, '2001:db8:1:2::/64'],
    ['/net', '2001:db8:1:2:ffff:ffff:ffff:ffff', 429, '2001:db8:1:2::/64'],
    ['/net', '2001:db8:1:3::1', 200, '2001:db8:1:3::/64'],
    ['/net', '2001:db8:1:2:3::1', 429, '2001:db8:1:2::/64'],
    ['/net', '::c000:201', 200, '::/64'],            # not IPv4-mapped
    ['/net', 'no address', 200, '127.0.0.1'],
    ['/net', '192.0.2.256', 429, '127.0.0.1'],
    ['/net', '192.0.2.9:8080', 200, '192.0.2.9'],
    ['/net', '192.0.2.9:8081', 429, '192.0.2.9'],
    ['/net', '[2001:db8:9::1]:80', 200, '2001:db8:9::/64'],
    ['/wide', '192.0.2.1', 200, '192.0.2.0/24'],
    ['/wide', '192.0.2.255', 429, '192.0.2.0/24'],
    ['/wide', '192.0.3.1', 200, '192.0.3.0/24'],
    ['/wide', '2001:db8:1:2::1', 200, '2001:db8:1::/48'],
    ['/wide', '2001:db8:1:ffff::1', 429, '2001:db8:1::/48'],
    ['/wide', '2001:db8:2::', 200, '2001:db8:2::/48'],
    ['/odd', '10.1.7.255', 200, '10.1.0.0/21'],
    ['/odd', '10.1.0.0', 429, '10.1.0.0/21'],
    ['/odd', '10.1.8.0', 200, '10.1.8.0/21'],
    ['/odd', '2001:db8:0:7::1', 200, '2001:db8::/61'],
    ['/odd', '2001:db8::1', 429, '2001:db8::/61'],
    ['/odd', '2001:db8:0:8::1', 200, '2001:db8:0:8::/61'],
    ['/all', '192.0.2.1', 200, '0.0.0.0/0'],
    ['/all', '10.0.0.1', 429, '0.0.0.0/0'],
    ['/all', '2001:db8::1', 200, '::/0'],
    ['/all', 'fe80::1', 429, '::/0'],
    ['/exact', '2001:db8::1', 200, '2001:db8::1'],
    ['/exact', '2001:db8::2', 200, '2001:db8::2'],
    ['/exact', '2001:db8::1', 429, '2001:db8::1'],
    ['/raw', '192.0.2.1', 200, '127.0.0.1'],         # nobody is trusted there
    ['/raw', '192.0.2.2', 429, '127.0.0.1'],
) {
    my ($uri, $addr, $status, $net) = @$_;
    my $r = net($uri, $addr);
    is($r->{status}, $status, "$uri $addr: $status");
    is(h($r, 'X-Net'), "[$net]", "$uri $addr: $net");
}

for (1 .. 3) {
    my $r = $s->get('/raw', { unix => $unix });
    is($r->{status}, 200, 'a unix socket: never limited by network');
    is(h($r, 'X-Net'), '[]', 'a unix socket: an empty network');
    is(h($r, 'X-Status'), 'BYPASSED', 'a unix socket: BYPASSED');
}

is($s->get('/net', 'X-Real-IP' => '198.51.100.1', { unix => $unix })->{status},
   200, 'a trusted unix socket: the address that it tells');
is($s->get('/net', 'X-Real-IP' => '198.51.100.1')->{status}, 429,
   'a trusted unix socket: which is the one that others tell');

my @xff = map { $s->get('/xff', 'X-Forwarded-For' => $_)->{status} }
              '203.0.113.1', '1.1.1.1, 203.0.113.1', '203.0.113.2', '';
is_deeply(\@xff, [200, 429, 200, 200],
          'X-Forwarded-For: the last address, which the proxy has seen');

SKIP: {
    skip 'no IPv6 here', 4 if !$ipv6;

    my @r = map { $s->get('/raw', { host => '::1' }) } 1, 2;
    is($r[0]{status}, 200, '::1 is not 127.0.0.1');
    is($r[1]{status}, 429, '::1 is limited');
    is(h($r[0], 'X-Net'), '[::/64]', 'its network');
    is($s->get('/net', 'X-Real-IP' => '198.51.100.9',
               { host => '::1' })->{status}, 200, 'a trusted proxy at ::1');
}

# strange keys: each is a key of its own, and nothing of it gets out

my @strange = ('%00', '%00%00', 'a%00', 'a%00b', 'a', '%0d%0aX-Evil:1',
               '%0d%0a%0d%0a<html>', '%ff%fe', '%25', '%22', '%5c', '%7f',
               "\xff\xfe", 'a%20b', '$uri', '{}', "'", ';', '../..',
               'zone=z', 'x' x 255, 'x' x 256, 'x' x 257);

for my $key (@strange) {
    (my $name = substr($key, 0, 20)) =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;
    my @r = map { $s->get("/arg?k=$key") } 1, 2;
    is_deeply([map { $_->{status} } @r], [200, 429],
              "key \"$name\": one request");
    unlike($r[1]{head}, qr/^X-Evil/m, "key \"$name\": no header");
}

for my $key ('%00', 'a%00b', 'a%00c', '%0d%0aX-Evil:1', '%ff') {
    my @r = map { $s->get("/uri/$key") } 1, 2;
    my $ok = $key =~ /%00/ ? [400, 400] : [200, 429];
    is_deeply([map { $_->{status} } @r], $ok, "uri \"$key\"");
    unlike($r[1]{head}, qr/^X-Evil/m, "uri \"$key\": no header");
}

# huge keys: the last byte counts

for my $len (1000, 60_000, 65_535, 65_536, 100_000) {
    my $key = 'k' x $len;
    my @r = map { $s->get('/head', 'X-Key' => $_) }
                "${key}a", "${key}b", "${key}a", "${key}b";
    is_deeply([map { $_->{status} } @r], [200, 200, 429, 429],
              "a key of $len bytes and one");
    @r = map { $s->get("/arg?k=$key$_") } 'a', 'b', 'a';
    is_deeply([map { $_->{status} } @r], [200, 200, 429],
              "an argument of $len bytes and one");
}

# ten times more keys than a zone holds.  It has 7 pages of 4 KB at most,
# part of which are entries of 16 bytes

my $keys = 10 * 7 * 4096 / 16;

sub burst_of {
    my ($uri, @keys) = @_;
    my %status;
    my $sock = $s->connect;
    while (@keys) {
        my @part = splice @keys, 0, 50;
        my @r = $s->request(join('', map {
                    "GET $uri?k=$_ HTTP/1.1\r\nHost: l\r\n\r\n" } @part),
                    sock => $sock, count => scalar @part);
        if (@r < @part) {        # nginx closes after keepalive_requests
            unshift @keys, @part[@r .. $#part];
            $sock = $s->connect;
        }
        $status{$_->{status}}++ for @r;
    }
    return \%status;
}

my $status = burst_of('/idle', 1 .. $keys);
is_deeply([keys %$status], [200], 'keys that owe nothing: none is refused');

sub evicted {
    my $r = $s->get('/json', Accept => 'application/json');
    return $r->{body} =~ /"zone":"tiny","capacity":\d+,"live":\d+,"evicted_live":(\d+)/ ? $1 : undef;
}

is(evicted(), 0, 'keys that owe nothing: no live one is dropped');

$status = burst_of('/tiny', map { "t$_" } 1 .. $keys);
is_deeply([keys %$status], [200], 'keys that owe: none is refused');
cmp_ok(evicted(), '>', $keys / 2, 'keys that owe: evicted_live tells');
cmp_ok(evicted(), '<', $keys, 'keys that owe: and no more than there were');

# a new key evicts those that would be free soonest, and is in itself
is_deeply(burst_of('/tiny', ('new') x 3), { 200 => 2, 429 => 1 },
          'a full zone limits new keys');

$s->stop;
is($s->complaints('emerg|alert|crit'), '', 'no alert');
is(join("\n", grep { !/client sent invalid|invalid request/i }
              split /\n/, $s->complaints('error')), '', 'no error');

done_testing();
