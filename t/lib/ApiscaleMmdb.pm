# Writes MaxMind databases for the suites of apiscale_geo:
#
#     write_mmdb($file, { '192.0.2.0/24' => { ... }, ... }, OPTIONS);
#
# OPTIONS are those of MaxMind::DB::Writer::Tree.  The type of a member goes
# by its name: u16 u32 u64 u128 i32 d f b bytes, and %TYPES; others are
# strings.  The file is put in place by rename, as who updates one should do.

package ApiscaleMmdb;

use strict;
use warnings;

use Exporter 'import';
use MaxMind::DB::Writer::Tree;

our @EXPORT = qw(mmdb write_mmdb put_file);

my %TYPES = (
    u16 => 'uint16', u32 => 'uint32', u64 => 'uint64', u128 => 'uint128',
    i32 => 'int32', d => 'double', f => 'float', b => 'boolean',
    bytes => 'bytes',
    country => 'map', names => 'map', location => 'map', city => 'map',
    types => 'map', deep => 'map', a => 'map',
    subdivisions => ['array', 'map'], words => ['array', 'utf8_string'],
    latitude => 'double', longitude => 'double', geoname_id => 'uint32',
    is_eu => 'boolean', autonomous_system_number => 'uint32',
);

# the bytes of a database
sub mmdb {
    my ($networks, %opt) = @_;

    my $tree = MaxMind::DB::Writer::Tree->new(
        ip_version => 6, record_size => 24, database_type => 'Test',
        languages => ['en', 'de'],
        description => { en => 'a test', de => 'ein Test' },
        remove_reserved_networks => 0, alias_ipv6_to_ipv4 => 1,
        map_key_type_callback => sub { $TYPES{$_[0]} || 'utf8_string' },
        %opt);

    # a network within another one comes after it
    $tree->insert_network($_, $networks->{$_})
        for sort { ($a =~ m{/(\d+)})[0] <=> ($b =~ m{/(\d+)})[0] || $a cmp $b }
            keys %$networks;

    my $bytes = '';
    open(my $out, '>', \$bytes) or die $!;
    binmode $out;
    $tree->write_tree($out);
    close $out;

    return $bytes;
}

sub put_file {
    my ($file, $bytes) = @_;

    open(my $out, '>', "$file.new") or die "$file.new: $!";
    binmode $out;
    print $out $bytes;
    close $out or die $!;
    chmod 0644, "$file.new";
    rename("$file.new", $file) or die "$file: $!";
}

sub write_mmdb {
    my ($file, @args) = @_;
    put_file($file, mmdb(@args));
}

1;
