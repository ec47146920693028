# Values of apiscale_geo: types, paths, defaults, sources of addresses.

use strict;
use warnings;

use IO::Socket::IP;
use JSON::PP;
use Test::More;
use ApiscaleLab;
use ApiscaleMmdb;

my $s = ApiscaleLab->new;
my $root = root();
my $port = port();

# ::1 may be missing on a machine without IPv6
my $ipv6 = IO::Socket::IP->new(LocalHost => '::1', LocalPort => port(2),
                               Listen => 1, ReuseAddr => 1) ? 1 : 0;
my $listen6 = $ipv6 ? "listen [::1]:$port; listen [::]:" . port(3)
                      . ' ipv6only=off;' : '';

my $us = {
    country => { iso_code => 'US', is_eu => 0, geoname_id => 6252001,
                 names => { en => 'United States', de => 'USA' } },
    subdivisions => [ { iso_code => 'CA', names => { en => 'California' } },
                      { iso_code => 'XX' } ],
    location => { latitude => 37.751, longitude => -97.822 },
    city => { names => { en => 'Mountain View' } },
};
my $de = {
    country => { iso_code => 'DE', is_eu => 1, geoname_id => 2921044,
                 names => { en => 'Germany', de => 'Deutschland' } },
    location => { latitude => 51.5142, longitude => -0.0931 },
    city => { names => { en => "M\x{fc}nchen" } },
};

write_mmdb("$root/city.mmdb", {
    '127.0.0.1/32' => { country => { iso_code => 'LO' } },
    '192.0.2.0/24' => $us,
    '198.51.100.0/25' => $de,
    '203.0.113.9/32' => { country => { names => { en => 'no code' } } },
    '2001:db8::/32' => $de,
    '2001:db8:1::/48' => $us,
    '::1/128' => { country => { iso_code => 'L6' } },
}, database_type => 'Test-City');

write_mmdb("$root/conf/asn.mmdb", {
    '127.0.0.0/8' => { autonomous_system_number => 64496,
                       autonomous_system_organization => 'Example' },
    '192.0.2.0/24' => { autonomous_system_number => 4294967295,
                        autonomous_system_organization =>
                            "evil\r\nSet-Cookie: a=b\x{7f}\x{0}\t\x{1}end" },
}, ip_version => 4, database_type => 'Test-ASN', record_size => 28);

my %types = (
    u16 => 65535, u32 => 4294967295, u64 => '18446744073709551615',
    u128 => '340282366920938463463374607431768211455', i32 => -2147483648,
    d => 0.1, f => 0.5, b => 1, bytes => "\x{0}\x{1}", s => '',
    words => [ map { "w$_" } 0 .. 99 ], a => { a => { a => { s => 'x' } } },
    long => 'x' x 70000,
);

write_mmdb("$root/types.mmdb", {
    '192.0.2.1/32' => { types => \%types },
    '192.0.2.2/32' => { types => { u16 => 0, u32 => 0, u64 => 0, u128 => 0,
                                   i32 => 0, d => 0, f => 0, b => 0,
                                   words => [] } },
    '192.0.2.3/32' => { types => { d => 1e300, f => 3.14, i32 => 7,
                                   u128 => '18446744073709551616' } },
    '192.0.2.4/32' => { types => { d => -123456789.123456789, f => 1e-10,
                                   i32 => -1 } },
    '192.0.2.5/32' => { types => { d => 9**9**9, f => -9**9**9 } },
}, record_size => 32);

my @types = qw(u16 u32 u64 u128 i32 d f b bytes s);

my $vars = join '', map { "\$t_$_ types $_;\n" } @types;
my $log = join ',', map { "\"$_\":\"\$t_$_\"" } @types;

put_file("$root/more.geo", "\$t_more types u16;\n");

$s->start(http => <<"END", config => <<"END2");
    real_ip_header X-Real-IP;
    set_real_ip_from 127.0.0.1;
    set_real_ip_from ::1;

    apiscale_geo $root/city.mmdb {
        \$country            country iso_code;
        \$country_default    default=ZZ country iso_code;
        \$country_empty      default= country iso_code;
        \$country_name       country names en;
        \$eu                 country is_eu;
        \$country_id         country geoname_id;
        \$sub0               subdivisions 0 iso_code;
        \$sub1               subdivisions 1 iso_code;
        \$sub2               default=none subdivisions 2 iso_code;
        \$sub_last           subdivisions -1 iso_code;
        \$sub_bad            default=none subdivisions x iso_code;
        \$lat                location latitude;
        \$lon                location longitude;
        \$city               city names en;
        \$map                default=map country;
        \$array              default=array subdivisions;
        \$beyond             default=beyond country iso_code x;
        \$no_path            country nothing;
    }

    apiscale_geo asn.mmdb {
        \$asn  default=0 autonomous_system_number;
        \$org  autonomous_system_organization;
    }

    apiscale_geo $root/city.mmdb source=\$arg_ip {
        \$arg_country        default=? country iso_code;
    }

    apiscale_geo $root/city.mmdb source=\$remote_addr {
        \$addr_country       default=? country iso_code;
    }

    apiscale_geo $root/city.mmdb source=\$http_x_forwarded_for {
        \$xff_country        default=? country iso_code;
    }

    apiscale_geo $root/city.mmdb source=198.51.100.\$arg_last {
        \$joined_country     default=? country iso_code;
    }

    apiscale_geo $root/types.mmdb {
        $vars
        \$t_words99          default=? types words 99;
        \$t_words            default=? types words 0;
        \$t_deep             types a a a s;
        \$t_long             types long;
        include              $root/more.geo;
    }

    map \$country \$known { default no; "" none; ~. yes; }

    server {
        listen 127.0.0.1:@{[port(4)]};
        real_ip_header X-Forwarded-For;
        set_real_ip_from 192.0.2.0/24;
        location / { return 200 "\$country|\$asn|\$remote_addr"; }
    }
END
        $listen6
        listen unix:$root/s.sock;
        location = /country { return 200 "\$country|\$country_default|\$country_empty|\$country_name|\$eu|\$country_id"; }
        location = /path { return 200 "\$sub0|\$sub1|\$sub2|\$sub_last|\$sub_bad|\$lat|\$lon|\$city|\$map|\$array|\$beyond|\$no_path"; }
        location = /asn { return 200 "\$asn|\$country"; }
        location = /org {
            add_header X-Org "[\$org]";
            return 204;
        }
        location = /map { return 200 \$known; }
        location = /source { return 200 "\$arg_country|\$addr_country|\$xff_country|\$joined_country"; }
        location = /types { return 200 '{$log,"w99":"\$t_words99","w0":"\$t_words","deep":"\$t_deep","more":"\$t_more"}'; }
        location = /long { return 200 \$t_long; }
        location = /if { if (\$eu) { return 200 eu; } return 200 other; }
        location /untrusted {
            set_real_ip_from 192.0.2.0/24;
            real_ip_header X-Forwarded-For;
            set \$before \$country\$asn;
            try_files /none \@after;
        }
        location /trusted {
            set_real_ip_from 127.0.0.1;
            real_ip_header X-Forwarded-For;
            set \$before \$country\$asn;
            try_files /none \@after;
        }
        location \@after {
            proxy_pass http://127.0.0.1:$port/echo?\$before|\$country|\$asn|\$remote_addr;
        }
        location /echo { return 200 \$args; }
        location /sub {
            addition_types *;
            add_after_body /echo_sub;
            alias $root/html/;
        }
        location = /echo_sub { return 200 "\$country|\$arg_country"; }
END2

sub at {
    my ($uri, $ip, @more) = @_;
    return $s->get($uri, (defined $ip ? ('X-Real-IP' => $ip) : ()), @more);
}

sub body { return at(@_)->{body} }

# values

is(body('/country', '192.0.2.77'), 'US|US|US|United States|0|6252001',
   'an IPv4 client in a database for IPv6');
is(body('/country', '198.51.100.1'), 'DE|DE|DE|Germany|1|2921044',
   'another network');
is(body('/country', '198.51.100.128'), '|ZZ||||',
   'no network: defaults, or not found');
is(body('/country', '203.0.113.9'), '|ZZ||no code||',
   'a record without the member');
is(body('/country', '10.1.2.3'), '|ZZ||||', 'a private address');
is(body('/country', '0.0.0.0'), '|ZZ||||', '0.0.0.0');
is(body('/country'), 'LO|LO|LO|||', 'the peer itself');

is(body('/path', '192.0.2.1'),
   'CA|XX|none|XX|none|37.751|-97.822|Mountain View|map|array|beyond|',
   'paths, arrays, numbers');
is(body('/path', '198.51.100.1'),
   "||none||none|51.5142|-0.0931|M\xc3\xbcnchen|map|array|beyond|",
   'UTF-8 stays as it is');

is(body('/map', '192.0.2.1'), 'yes', 'a map');
is(body('/map', '10.0.0.1'), 'none', 'a map without a value');
is(body('/if', '198.51.100.1'), 'eu', 'if with 1');
is(body('/if', '192.0.2.1'), 'other', 'if with 0');

# IPv6

for my $case (['2001:db8::1', 'DE', 0], ['2001:db8:1::1', 'US', 0],
              ['2001:db9::1', 'ZZ', 0], ['::1', 'L6', 0],
              ['::', 'ZZ', 0], ['ff02::1', 'ZZ', 0],
              ['::ffff:192.0.2.1', 'US', 4294967295],
              ['::ffff:c000:201', 'US', 4294967295],
              ['2002:c000:0201::1', 'US', 0])
{
    my ($ip, $country, $asn) = @$case;
    my $c = (split /\|/, body('/country', $ip))[1];
    is($c, $country, "$ip in a database for IPv6");
    is((split /\|/, body('/asn', $ip))[0], $asn,
       "$ip in a database for IPv4");
}

SKIP: {
    skip 'no IPv6 on this machine', 3 if !$ipv6;
    is($s->get('/country', { host => '::1' })->{body}, 'L6|L6|L6|||',
       'an IPv6 peer');
    is($s->get('/asn', { host => '::1' })->{body}, '0|L6',
       'an IPv6 peer, a database for IPv4');
    is($s->get('/asn', { port => port(3) })->{body}, '64496|LO',
       'an IPv4-mapped peer');
}

is($s->get('/asn', { unix => "$root/s.sock" })->{body}, '0|',
   'a peer on a Unix socket');

# types

my $t = decode_json(body('/types', '192.0.2.1'));
is_deeply($t, {
    u16 => '65535', u32 => '4294967295', u64 => '18446744073709551615',
    u128 => '340282366920938463463374607431768211455', i32 => '-2147483648',
    d => '0.1', f => '0.5', b => '1', bytes => '', s => '', w99 => 'w99',
    w0 => 'w0', deep => 'x', more => '65535',
}, 'all types');

$t = decode_json(body('/types', '192.0.2.2'));
is_deeply($t, { (map { $_ => '0' } qw(u16 u32 u64 u128 i32 d f b)),
                bytes => '', s => '', w99 => '?', w0 => '?', deep => '',
                more => '0' }, 'zeros');

$t = decode_json(body('/types', '192.0.2.3'));
is_deeply([@$t{qw(d f i32 u128)}],
          ['1e+300', '3.14', '7', '18446744073709551616'], 'other numbers');
$t = decode_json(body('/types', '192.0.2.4'));
is_deeply([@$t{qw(d f i32)}], ['-123456789.12345679', '1e-10', '-1'],
          'negative and small numbers');
$t = decode_json(body('/types', '192.0.2.5'));
is_deeply([@$t{qw(d f)}], ['', ''], 'infinity is no number');
is(body('/long', '192.0.2.1'), 'x' x 70000, 'a long string');

# nothing gets out of a header

my $r = at('/org', '192.0.2.1');
is($r->{status}, 204, 'control bytes: the status');
is(h($r, 'X-Org'), '[evil  Set-Cookie: a=b    end]',
   'control bytes become spaces');
ok(!defined h($r, 'Set-Cookie'), 'and no header of their own');

# sources

is(body('/source?ip=192.0.2.1', '198.51.100.1'), 'US|DE|?|?', 'source=');
is(body('/source?ip=2001:db8::1&last=7', '10.0.0.1'), 'DE|?|?|DE',
   'source= in IPv6, and of several values');
is(body("/source?ip=$_"), '?|LO|?|?', "source=\"$_\" is no address")
    for '', 'x', '192.0.2', '192.0.2.1:80', '192.0.2.1,192.0.2.1', '[::1]',
        '192.0.2.256', '192.0.2.', '192..2.1', '255.255.255.255', '%20192.0.2.1', '192.0.2.1%00', '0x7f000001',
        'localhost', '2001:db8::g', ':', '::1%25lo', '1' x 5000;
is($s->get('/source', 'X-Forwarded-For' => '192.0.2.1')->{body},
   '?|LO|US|?', 'source= of a header, because it was asked for');
is($s->get('/source', 'X-Forwarded-For' => '192.0.2.1, 1.1.1.1')->{body},
   '?|LO|?|?', 'a list of addresses is no address');
is(body('/source?ip=::ffff:192.0.2.1'), 'US|LO|?|?', 'IPv4-mapped in text');

# realip: who may say where the client is

sub other {
    return $s->get('/', @_, { port => port(4) })->{body};
}

is(other(), 'LO|64496|127.0.0.1', 'no header');
is(other('X-Forwarded-For' => '192.0.2.1'), 'LO|64496|127.0.0.1',
   'X-Forwarded-For of an untrusted peer changes nothing');
is(other('X-Real-IP' => '192.0.2.1'), 'LO|64496|127.0.0.1',
   'nor does another header');

# a location that trusts: the address changes between two phases

is(body('/untrusted', undef, 'X-Forwarded-For' => '192.0.2.1'),
   'LO64496|LO|64496|127.0.0.1', 'untrusted for the location');
is(body('/trusted', undef, 'X-Forwarded-For' => '192.0.2.1'),
   'LO64496|US|4294967295|192.0.2.1', 'trusted: both are looked up again');

# subrequests

$s->file('html/file', 'main ');
is(body('/sub/file?ip=192.0.2.1', '198.51.100.1'), 'main DE|US',
   'a subrequest has the address and arguments of its main request')
    if $s->{http} && `$s->{binary} -V 2>&1` =~ /http_addition/;

# in many requests at once, of one connection

my $sock = $s->connect;
my @ip = map { ("192.0.2.$_", "198.51.100.$_", "10.0.0.$_") } 1 .. 100;
my @r = $s->request(join('', map { "GET /country HTTP/1.1\r\nHost: l\r\n"
                                   . "X-Real-IP: $_\r\n\r\n" } @ip),
                    sock => $sock, count => scalar @ip);
is(join(',', map { (split /\|/, $_->{body})[1] } @r),
   join(',', ('US', 'DE', 'ZZ') x 100), 'pipelined requests of 300 clients');

$s->stop;
is($s->complaints, '', 'nothing bad in the log');

done_testing();
