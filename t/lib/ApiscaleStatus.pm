# For suites that look at the status page: "--- check eval" holds a sub that
# is called with the body of the last response, decoded from JSON where it is
# JSON, and tests it with Test::More.  "--- promtool" has promtool look at it.

package ApiscaleStatus;

use strict;
use warnings;

use Exporter qw(import);
use File::Temp;
use JSON::PP;
use Test::More ();
use Test::Nginx::Socket ();

our @EXPORT = qw(add_status_checks all_checked location_of totals promtool);

my (%Wanted, %Done);

# names of blocks change when the suite has begun
sub number {
    my ($block) = @_;
    return $block->name =~ /(TEST \d+)/ ? $1 : $block->name;
}

# the member of "locations" of that name
sub location_of {
    my ($status, $location, $server) = @_;

    my ($l) = grep {
        $_->{location} eq $location
        && (!defined $server || $_->{server} eq $server)
    } @{$status->{locations}};

    return $l;
}

# How many requests each location had, by "location" or "server|location",
# without those that Test::Nginx has for itself.
sub totals {
    my ($status, $server) = @_;

    return {
        map {
            ($server ? "$_->{server}|$_->{location}" : $_->{location},
             $_->{requests}{total})
        } grep {
            $_->{server} ne 'test-nginx' && $_->{location} ne '= /ver'
            && "$_->{server}|$_->{location}" ne 'localhost|/'
        } @{$status->{locations}}
    };
}

# what promtool has to say: nothing, when all is well
sub promtool {
    my ($text) = @_;

    my $file = File::Temp->new;
    print $file $text;
    close $file;

    my $said = `promtool check metrics <$file 2>&1`;

    return $said . ($? ? "exit $?" : '');
}

sub add_status_checks {
    Test::Nginx::Socket::add_block_preprocessor(sub {
        my ($block) = @_;

        $Wanted{number($block)} = 1 if defined $block->check;

        if (!defined $block->no_error_log && !defined $block->must_die) {
            $block->set_value('no_error_log',
                              "[alert]\n[crit]\n[emerg]\n[error]\n");
        }
    });

    Test::Nginx::Socket::add_response_body_check(sub {
        my ($block, $body, $idx, undef, $dry_run) = @_;

        my $request = $block->request;
        my $last = ref $request eq 'ARRAY' ? $#$request : 0;
        return if $dry_run || $idx != $last;

        if (defined $block->promtool) {
            Test::More::is(promtool($body), '', $block->name . ' - promtool');
        }

        my $check = $block->check or return;
        my $data = $body;

        if ($body =~ /^\{/) {
            $data = eval { JSON::PP->new->utf8->decode($body) };
            Test::More::ok(defined $data, $block->name . ' - JSON is valid');
        }

        $check->($data, $block->name);
        $Done{number($block)} = 1;
    });
}

# after run_tests(): whether each check was really made
sub all_checked {
    Test::More::is_deeply([sort keys %Done], [sort keys %Wanted],
                          'all checks were made');
}

1;
