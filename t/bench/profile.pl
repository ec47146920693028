#!/usr/bin/perl
#
# What functions cost a request, from two outputs of callgrind that differ in
# the number of requests:
#
#     profile.pl SHORT LONG REQUESTS
#
# REQUESTS: by how many the second run was longer.  "self": instructions in
# the function itself, with what the compiler put into it; "total": with
# those that it called.

use strict;
use warnings;

use File::Basename qw(basename);

@ARGV == 3 or die "usage: $0 SHORT LONG REQUESTS\n";

my ($short, $long, $n) = @ARGV;
my ($self0, $total0) = load($short);
my ($self1, $total1) = load($long);

my %row;
for my $f (keys %{ { %$self0, %$self1 } }) {
    my $self = (($self1->{$f} // 0) - ($self0->{$f} // 0)) / $n;
    my $total = (($total1->{$f} // 0) - ($total0->{$f} // 0)) / $n;
    $row{$f} = [$self, $total] if $self || $total;
}

printf "%8s %8s  %s\n", 'self', 'total', 'function';
my $sum = 0;

for my $f (sort { $row{$b}[0] <=> $row{$a}[0] || $a cmp $b } keys %row) {
    $sum += $row{$f}[0];
    next if $row{$f}[0] < 0.5;
    printf "%8.0f %8.0f  %s\n", @{ $row{$f} }, $f;
}

printf "%8.0f %8s  %s\n", $sum, '', 'all';


# self and inclusive cost by "function (object)"
sub load {
    my ($file) = @_;
    my (%self, %total, %name, %object);
    my ($fn, $ob, $call) = ('', '');

    open(my $in, '<', $file) or die "$file: $!\n";

    while (<$in>) {
        if (/^fn=\((\d+)\)(?: (.*))?/) {
            $name{$1} = $2 if defined $2;
            $fn = "$name{$1} ($ob)";
            $self{$fn} //= 0;
            $total{$fn} //= 0;

        } elsif (/^ob=\((\d+)\)(?: (.*))?/) {
            $object{$1} = basename($2) if defined $2;
            $ob = $object{$1};

        } elsif (/^cob=\((\d+)\) (.*)/) {
            $object{$1} = basename($2);

        } elsif (/^cfn=\((\d+)\) (.*)/) {
            $name{$1} = $2;

        } elsif (/^calls=/) {
            $call = 1;

        } elsif (/^[+*\-\d]\S* (\d+)$/) {
            $self{$fn} += $1 if !$call;
            $total{$fn} += $1;
            $call = 0;
        }
    }

    return (\%self, \%total);
}
