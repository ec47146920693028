# Databases that are truncated, have a byte changed, or were made to mislead.
# A worker takes each of them by its timer: it refuses it and keeps the one
# before, or gives the answers that another reader gives.  It never crashes;
# with tools/asan it runs on the nginx that has the sanitizers.

use strict;
use warnings;

use JSON::PP;
use MaxMind::DB::Reader;
use Test::More;
use ApiscaleLab;
use ApiscaleMmdb;

plan(skip_all => 'nothing is served here that could be reloaded')
    if $ENV{TEST_NGINX_USE_HUP};

my $s = ApiscaleLab->new;
my $root = root();
my $file = "$root/db.mmdb";

srand 16;

# a database as they are sold, in small

my %networks;
for my $n (1 .. 300) {
    my $net = $n % 3 ? join('.', 1 + $n % 200, $n % 256, $n * 7 % 256, 0)
                       . '/' . (16 + $n % 9)
                     : sprintf('2001:%x:%x::/%d', $n, $n * 3, 32 + $n % 17);
    $networks{$net} = {
        country => { iso_code => chr(65 + $n % 26) . chr(65 + $n / 26),
                     is_eu => $n % 2, geoname_id => $n * 1001,
                     names => { en => "Country $n", de => "Land $n" } },
        city => { names => { en => "City $n", de => "Stadt " . $n % 9 } },
        location => { latitude => $n / 7, longitude => -$n / 11 },
        subdivisions => [ map { { iso_code => "S$_", names => { en => "State $_" } } }
                              1 .. $n % 4 ],
        autonomous_system_number => $n * 1_000_003,
        autonomous_system_organization => 'Organization ' . $n % 50,
    };
}

my $good = mmdb(\%networks);
my @ip = ('127.0.0.1', '0.0.0.0', '::1', '2001:db8::1',
          map { s{/.*}{}r } (sort keys %networks)[map { $_ * 11 } 0 .. 26]);

cmp_ok(length $good, '>', 20000, length($good) . ' bytes');

my @path = (
    [qw(country iso_code)], [qw(country is_eu)], [qw(country geoname_id)],
    [qw(country names de)], [qw(city names en)], [qw(location latitude)],
    [qw(subdivisions 1 names en)], ['autonomous_system_number'],
    ['autonomous_system_organization'],
);

my $vars = join ' ', map { "\$v$_ default=? @{$path[$_]};" } 0 .. $#path;
my $values = join '|', map { "\$v$_" } 0 .. $#path;

put_file($file, $good);
$s->start(http => "apiscale_geo $file reload=10ms source=\$arg_ip { $vars }",
          config => "location /t { return 200 '$values'; }
                     location /status { apiscale_status; }");

sub status {
    return decode_json($s->get('/status')->{body})->{geo}[0];
}

# what the module says of each address
sub answers {
    my @r = $s->request(join('', map { "GET /t?ip=$_ HTTP/1.1\r\nHost: l\r\n\r\n" }
                                     @ip),
                        count => scalar @ip);
    return join "\n", map { $_->{status} == 200 ? $_->{body} : 'failed' } @r;
}

# a double in as few digits as tell it from others
sub shortest {
    my ($v) = @_;
    return $v if $v !~ /^-?[\d.]+(?:e[-+]?\d+)?$/;
    my ($d) = grep { $_ == $v } map { sprintf "%.${_}g", $v } 15 .. 17;
    return $d;
}

# and what another implementation says
sub expected {
    my $reader = MaxMind::DB::Reader->new(file => $file);
    my @lines;

    for my $ip (@ip) {
        my $record = $reader->record_for_address($ip);
        push @lines, join '|', map {
            my $v = $record;
            for my $step (@$_) {
                $v = ref $v eq 'HASH' ? $v->{$step}
                   : ref $v eq 'ARRAY' && $step =~ /^\d+$/ ? $v->[$step]
                   : undef;
            }
            $v = '?' if !defined $v || ref $v && ref $v !~ /^Math::/;
            utf8::encode($v) if utf8::is_utf8($v);
            $v = shortest($v) if $_->[-1] eq 'latitude';
            $v =~ s/[\x00-\x1f\x7f]/ /gr;
        } @path;
    }

    return join "\n", @lines;
}

is(answers(), expected(), 'the good one: as another reader says');
my $was = answers();

my (%count, @wrong);

# puts a file in place and waits until the worker has seen it; returns why it
# was refused
sub try {
    my ($name, $bytes, $not_compared) = @_;

    my $before = status();
    put_file($file, $bytes);
    my $after;
    wait_for(sub {
        $after = status();
        return $after->{reloads} != $before->{reloads}
               || $after->{failures} != $before->{failures};
    }, "the worker to see: $name");

    my $taken = $after->{reloads} != $before->{reloads};
    $count{$taken ? 'taken' : 'refused'}++;
    my $now = answers();

    if (!$taken) {
        push @wrong, "$name: the one before is gone" if $now ne $was;
        return $after->{error};
    }

    # what the other reader cannot cope with is not compared
    my $should = $not_compared ? undef
                 : eval { local $SIG{__WARN__} = sub { }; expected() };
    $count{compared}++ if defined $should;
    push @wrong, "$name: other answers:\n$now\nand not:\n$should"
        if defined $should && $now ne $should;
    push @wrong, "$name: no answer" if $now =~ /failed/;
    $was = $now;
    return '';
}

# truncated at each KB, and at each of the last bytes

my @cut = (map({ $_ * 1024 } 0 .. int(length($good) / 1024)),
           map({ length($good) - $_ * 7 } 1 .. 40));
my $taken = '';
for my $len (grep { $_ > 0 } @cut) {
    my $error = try("cut at $len", substr $good, 0, $len);
    $taken .= "$len " if $error !~ /is not a valid database: /;
}
is($taken, '', 'truncated: ' . @cut . ' files, each refused');

# a byte changed, in all parts of the file

%count = ();
for my $n (0 .. 249) {
    my $at = int(length($good) * $n / 250) + int rand(length($good) / 250);
    $at = length($good) - 1 - $n if $n < 60;   # the metadata are short
    my $bytes = $good;
    my $xor = (0xff, 0x80, 0x40, 0x20, 0x01, 1 + int rand 255)[rand 6];
    substr($bytes, $at, 1) = chr(ord(substr $bytes, $at, 1) ^ $xor);
    try("byte $at ^ $xor", $bytes);
}
cmp_ok($count{refused}, '>', 30, "changed bytes: $count{refused} refused");
cmp_ok($count{compared}, '>', 100,
       "changed bytes: $count{taken} taken, $count{compared} compared");

# several bytes, a piece moved, zeros, repetitions

%count = ();
for my $n (1 .. 60) {
    my $bytes = $good;
    my $len = 1 + int rand 64;
    my $at = int rand(length($bytes) - $len);
    my $from = int rand(length($bytes) - $len);
    substr($bytes, $at, $len) = $n % 4 == 0 ? "\0" x $len
        : $n % 4 == 1 ? "\xff" x $len
        : $n % 4 == 2 ? substr($good, $from, $len)
        : join '', map { chr int rand 256 } 1 .. $len;
    try("piece $n at $at", $bytes);
}
cmp_ok($count{refused}, '>', 25, "changed pieces: $count{refused} refused");

# files that were made to mislead: data, tree and metadata by hand

sub str { pack('C', 0x40 | length $_[0]) . $_[0] }
sub short { pack('CC', 0x20 | $_[0] >> 8, $_[0] & 255) }
sub map_of { pack('C', 0xe0 | @_ / 2) . join '', @_ }
sub list_of { pack('CC', scalar @_, 4) . join '', @_ }

my @fields = qw(binary_format_major_version binary_format_minor_version
                build_epoch database_type description ip_version languages
                node_count record_size);

sub by_hand {
    my (%opt) = @_;

    my $data = $opt{data} // map_of(str('a'), str('b'));
    my $nodes = $opt{nodes} // [[17, 17]];      # to the first byte of data
    my %meta = (
        binary_format_major_version => "\xa1\2",
        binary_format_minor_version => "\xa0",
        build_epoch => "\4\2" . pack('N', 1700000000),
        database_type => str('by-hand'), description => map_of(),
        ip_version => "\xa1" . chr($opt{ip} // 6), languages => list_of(),
        node_count => "\xc2" . pack('n', $opt{node_count} // scalar @$nodes),
        record_size => "\xa1" . chr($opt{record} // 32),
        %{$opt{meta} || {}},
    );

    return join('', map { pack 'NN', @$_ } @$nodes)
        . ($opt{gap} // "\0" x 16) . $data . "\xab\xcd\xefMaxMind.com"
        . map_of(map { (str($_), $meta{$_}) } @fields) . ($opt{end} // '');
}

sub chain {
    my ($n, $value) = @_;
    return [map { $_ < $n ? [$_, $_] : [$value // $n, $value // $n] } 1 .. $n];
}

# a lead of one node, all data at offset 0 of the data section
sub data { return by_hand(nodes => [[17, 17]], data => $_[0]) }

my $value = qr/a value is malformed or leads out of the data/;
my $meta = qr/the metadata are malformed/;
my $deep = qr/values are nested too deep/;
my $loop = qr/a value contains itself/;

my @made = (
    ['a sound one', data(map_of(str('a'), str('b'))), qr/^$/],
    ['an empty tree', by_hand(nodes => [[1, 1]]), qr/^$/],
    ['bytes behind the metadata', by_hand(nodes => [[1, 1]], end => 'xyz'),
     qr/^$/],
    ['two markers',
     by_hand(nodes => [[1, 1]], data => "\xab\xcd\xefMaxMind.com"), qr/^$/],

    # values
    ['no data', data(''), qr/the search tree leads out of the data/],
    ['a pointer to itself', data(short(0)), $value],
    ['a pointer to a pointer', data(short(2) . short(0)), $value],
    ['a pointer out of the data', data(short(100)), $value],
    ['a far pointer', data("\x38\xff\xff\xff\xff"), $value],
    ['half a pointer', data("\x28\0"), $value],
    ['a map in itself', data(map_of(str('a'), short(0))), $loop],
    ['an array in itself', data(list_of(str('a'), short(0))), $loop],
    ['a map in itself, later',
     data(map_of(str('a'), map_of(str('b'), list_of(short(0))))), $loop],
    ['two maps, each in the other',
     data(map_of(str('a'), short(6)) . "\0" . map_of(str('b'), short(0))),
     qr/$loop|$value/],
    ['a key that is a number', data(map_of("\xa1\1", str('b'))), $value],
    ['a key that is a map', data(map_of(map_of(), str('b'))), $value],
    ['a key by pointer to a map', data(map_of(short(3), map_of())), $value],
    ['a string that is too long', data("\x5cabc"), $value],
    ['a string without its size', data("\x5f"), $value],
    ['a string of 16 MB', data("\x5f\xff\xff\xff"), $value],
    ['a map without entries behind it', data("\xe1"), $value],
    ['a map of 16 million', data("\xff\xff\xff\xff"), $value],
    ['an array of 16 million', data("\x1f\4\xff\xff\xff"), $value],
    ['an array of 16 million of nothing', data("\x1f\4\xff\xff\xff" . "\xa0" x 70000),
     qr/a record has too many values/],
    (map { ["type $_", data("\0" . chr($_ - 7)), $value] } 7, 12, 13, 16, 255),
    ['no type', data("\0"), $value],
    ['an uint16 of 3 bytes', data("\xa3\1\1\1"), $value],
    ['an uint32 of 5 bytes', data("\xc5\1\1\1\1\1"), $value],
    ['an int32 of 5 bytes', data("\5\1\1\1\1\1\1"), $value],
    ['an uint64 of 9 bytes', data("\11\2" . "\1" x 9), $value],
    ['an uint128 of 17 bytes', data("\21\3" . "\1" x 17), $value],
    ['a double of 7 bytes', data("\x67" . "\1" x 7), $value],
    ['a float of 3 bytes', data("\3\x08\1\1\1"), $value],
    ['a boolean of 2', data("\2\7"), $value],
    ['arrays, 30 deep', data("\1\4" x 30 . "\xa0"), qr/^$/],
    ['arrays, 33 deep', data("\1\4" x 33 . "\xa0"), $deep],
    ['arrays, 2 million deep', data("\1\4" x 2_000_000 . "\xa0"), $deep],
    ['maps, 500,000 deep', data("\xe1\x41a" x 500_000 . "\xa0"), $deep],
    ['2^30 values in 60 bytes', data(join '', map {
         $_ < 30 ? list_of(short(6 * $_ + 6), short(6 * $_ + 6)) : "\xa0"
     } 0 .. 30), qr/^$/],
    ['pointers, 40 deep', data(join '', map {
         $_ < 40 ? list_of(short(4 * $_ + 4)) : "\xa0" } 0 .. 40), $deep],

    # the tree
    ['a node that leads to itself', by_hand(nodes => [[0, 1]]),
     qr/the search tree has a loop/],
    ['two nodes, each to the other', by_hand(nodes => [[1, 2], [0, 2]]),
     qr/the search tree has a loop/],
    ['a loop further down',
     by_hand(nodes => [[1, 4], [2, 4], [3, 4], [4, 1]]),
     qr/the search tree has a loop/],
    ['32 nodes deep for IPv4', by_hand(ip => 4, nodes => chain(32)), qr/^$/],
    ['33 nodes deep for IPv4', by_hand(ip => 4, nodes => chain(33)),
     qr/the search tree is too deep/],
    ['128 nodes deep', by_hand(nodes => chain(128)), qr/^$/],
    ['129 nodes deep', by_hand(nodes => chain(129)),
     qr/the search tree is too deep/],
    ['too deep by one of two ways',
     by_hand(ip => 4, nodes => [[2, 1], @{chain(33)}[1 .. 32]]),
     qr/the search tree is too deep/],
    ['a record into the gap', by_hand(nodes => [[1, 2]]),
     qr/the search tree leads out of the data/],
    ['a record to the end of the gap', by_hand(nodes => [[1, 16]]),
     qr/the search tree leads out of the data/],
    ['a record behind the data', by_hand(nodes => [[1, 17 + 5]]),
     qr/the search tree leads out of the data/],
    ['a record far behind', by_hand(nodes => [[0xffffffff, 1]]),
     qr/the search tree leads out of the data/],
    ['no gap', by_hand(gap => ''),
     qr/there is no separator|it is shorter than its search tree/],
    ['a gap that is not zero', by_hand(gap => "\0" x 15 . "\1"),
     qr/there is no separator behind the search tree/],
    ['more nodes than there are', by_hand(node_count => 65535),
     qr/it is shorter than its search tree/],
    ['a record in the metadata', by_hand(nodes => [[1, 17 + 5 + 14]]),
     qr/the search tree leads out of the data/],

    # metadata
    (map { ["no $_", by_hand() =~ s/\Q$_\E/'x' . substr $_, 1/er, $meta] }
         @fields),
    (map { ["$_ is a string", by_hand(meta => { $_ => str('x') }), $meta] }
         grep { $_ ne 'database_type' } @fields),
    (map { ["$_ is a map", by_hand(meta => { $_ => map_of() }), $meta] }
         grep { $_ ne 'description' } @fields),
    ['a number as type', by_hand(meta => { database_type => "\xa1\1" }), $meta],
    ['languages with numbers',
     by_hand(meta => { languages => list_of("\xa1\1") }), $meta],
    ['languages in languages',
     by_hand(meta => { languages => list_of(list_of()) }), $meta],
    ['a description with a map',
     by_hand(meta => { description => map_of(str('a'), map_of()) }), $meta],
    ['languages that lead to the metadata',
     by_hand(meta => { languages => list_of(short(0)) }), $meta],
    ['a description that leads to the metadata',
     by_hand(meta => { description => map_of(str('a'), short(0)) }), $meta],
    ['languages, 100,000 deep',
     by_hand(meta => { languages => "\1\4" x 50000 . "\xa0" }), $meta],
    ['no nodes', by_hand(meta => { node_count => "\xc0" }), $meta],
    ['no time of the build', by_hand(meta => { build_epoch => "\0\2" }), $meta],
    ['metadata that end', substr(by_hand(nodes => [[1, 1]]), 0, -1), $meta],
    ['a marker alone', "\xab\xcd\xefMaxMind.com", $meta],
    ['half a marker', "\xab\xcd\xefMaxMind.co",
     qr/no metadata, it is truncated or of another format/],
    ['a marker too far from the end',
     by_hand(nodes => [[1, 1]], end => 'x' x 131072),
     qr/no metadata, it is truncated or of another format/],
    ['4096 KB of zeros', "\0" x 4194304,
     qr/no metadata, it is truncated or of another format/],
);

for my $case (@made) {
    my ($name, $bytes, $reason) = @$case;
    like(try($name, $bytes, 1), $reason, $name);
}

# values that contain values that contain values: time stays in proportion

{
    my $n = 20000;
    my $bytes = data(join '', map { list_of("\xa0", "\xa0") } 1 .. $n);
    my $start = Time::HiRes::time();
    is(try('many arrays', $bytes, 1), '', 'many arrays');

    # each byte is the head of an array that reaches far
    $bytes = by_hand(ip => 6, nodes => [[17, 17]],
                     data => "\1\4" . "\x1d\4\xff" x 20000);
    like(try('arrays that overlap', $bytes, 1),
         qr/nested too deep|too many values|overlap|malformed/,
         'arrays that overlap');
    cmp_ok(Time::HiRes::time() - $start, '<', 10, 'in reasonable time');
}

put_file($file, $good);
wait_for(sub { status()->{type} eq 'Test' }, 'the good one');
is(answers(), expected(), 'the good one again');

is(join("\n", @wrong), '', 'no wrong answers');

$s->stop;
is(join("\n", grep { !/apiscale_geo: the database of before stays/ }
              split /\n/, $s->complaints), '', 'nothing else in the log');

done_testing();
