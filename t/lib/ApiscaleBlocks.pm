# Test::Nginx for the suites of this folder:
#
#     use ApiscaleBlocks;
#     run_tests();
#     __DATA__
#
# - each block has zones of its own: "zone=z" is "zone=z_7" in the seventh, so
#   that no debt of another block is there when one server is reloaded for
#   all of them (TEST_NGINX_USE_HUP); names in capitals stay as they are;
# - "~3600" in response_headers is 3600, or a little less since time passes;
# - rejections are logged as info, unless the block says otherwise;
# - no block may log an [alert], [crit], [emerg] or [error], unless it has an
#   "--- error_log" (then [error] may be what it waits for).

package ApiscaleBlocks;

use strict;
use warnings;

use Test::Nginx::Socket -Base;

# how many seconds the requests of a block may take together
use constant SLACK => 25;

my $Block = 0;

my @Never = ('[alert]', '[crit]', '[emerg]');

# "X: ~10" as a regular expression, "!X" as an empty value
my $HeadersLike = sub {
    my ($text) = @_;

    return CORE::join '', map {
        if (/^!(.*)/) {
            "$1: ()\n";

        } else {
            my ($name, $value) = /^([^:]+):\s*(.*)$/;
            CORE::join('', "$name: ", map {
                /^~(\d+)$/ ? '(?:' . CORE::join('|', $1 - SLACK .. $1) . ')'
                            : quotemeta
            } split /(~\d+)/, $value) . "\n";
        }
    } split /\n/, $text;
};

add_block_preprocessor(sub {
    my ($block) = @_;

    $Block++;

    for my $section (qw(http_config config)) {
        my $text = $block->$section;
        next if !defined $text;
        $text =~ s/\bzone=([a-z]\w*)/zone=$1_$Block/g;
        $block->set_value($section, $text);
    }

    my $headers = $block->response_headers;

    if (defined $headers) {
        my @all = ref $headers ? @$headers : $headers;

        if (grep { /~\d/ } @all) {
            @all = map { $HeadersLike->($_) } @all;
            $block->set_value('response_headers', undef);
            $block->set_value('response_headers_like',
                              ref $headers ? \@all : $all[0]);
        }
    }

    my $http = $block->http_config // '';
    my $all = $http . ($block->config // '');

    if ($all =~ /\bapiscale_limit_zone/ && $all !~ /apiscale_limit_log_level/)
    {
        $block->set_value('http_config',
                          "apiscale_limit_log_level info;\n$http");
    }

    if (!defined $block->no_error_log && !defined $block->must_die) {
        my @never = @Never;
        push @never, '[error]' if !defined $block->error_log;
        $block->set_value('no_error_log', join "\n", @never, '');
    }
});

1;
