# Four workers and eight clients that ask for one key at once: exactly
# "burst" requests are admitted, never one more and never one less, 50 times
# in a row.  The rate is so slow that nothing is refilled meanwhile.
#
# The races are a few hundred nanoseconds long.  So that workers really meet,
# connections are spread over them by the kernel, and each client sends all
# its requests in one go.

use strict;
use warnings;

use Test::More;
use ApiscaleLab;

use constant {
    CLIENTS => 8, ROUNDS => 50, EACH => 120, BURST => 600, WIDE => 30000,
};

my $port = port(3);

my $s = ApiscaleLab->new(
    workers => 4, log_level => 'notice', http => <<"END");
    apiscale_limit_log_level info;
    apiscale_limit_headers off;
    apiscale_problem off;
    apiscale_limit_zone zone=z:4m;
    apiscale_limit_zone zone=y:1m;
    keepalive_requests 100000;
    client_header_buffer_size 64k;

    server {
        listen 127.0.0.1:$port reuseport;
        add_header X-Pid \$pid always;

        location /one {
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST]} policy=one;
            empty_gif;
        }

        # the smallest is charged last: what it rejects, after another worker
        # took its last token, the others must have back
        location /three {
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST + 20]} policy=large;
            apiscale_limit zone=y key=\$arg_k rate=1r/d burst=@{[BURST + 10]} policy=middle;
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST]} policy=small;
            empty_gif;
        }
        location /cost {
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST]} cost=7 policy=cost;
            empty_gif;
        }

        # many new keys at once, each with one request to give away
        location /new {
            apiscale_limit zone=z key=\$arg_round rate=1r/d burst=@{[WIDE]} policy=wide;
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=1 policy=new;
            empty_gif;
        }

        location /left {
            apiscale_limit_headers x-ratelimit;

            location /left/large {
                apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST + 20]} cost=0 policy=large;
                empty_gif;
            }
            location /left/middle {
                apiscale_limit zone=y key=\$arg_k rate=1r/d burst=@{[BURST + 10]} cost=0 policy=middle;
                empty_gif;
            }
            location /left/wide {
                apiscale_limit zone=z key=\$arg_round rate=1r/d burst=@{[WIDE]} cost=0 policy=wide;
                empty_gif;
            }
        }
    }
END

$s->start;

my %worker;

# Forks the clients, lets them connect, then go at once.  Returns the number
# of responses by status.

sub clients {
    my (@uris) = @_;

    my $text = join '', map { "GET $_ HTTP/1.1\r\nHost: l\r\n\r\n" } @uris;
    $text =~ s/\r\n$/Connection: close\r\n\r\n/;

    pipe(my $ready, my $say) or die;
    pipe(my $go, my $start) or die;
    my @out;

    for my $i (1 .. CLIENTS) {
        pipe(my $from, my $to) or die;
        my $pid = fork // die "fork: $!";

        if (!$pid) {
            close $start;
            my $sock = $s->connect(port => $port);
            syswrite $say, 'x';
            sysread $go, my $x, 1;        # until the parent closes it

            my %n;
            my $buf = '';
            ApiscaleLab::send_all($sock, $text);
            eval { 1 while ApiscaleLab::more($sock, \$buf) };
            $n{$1}++ while $buf =~ m{HTTP/1\.1 (\d+) }g;
            $n{"pid$1"}++ if $buf =~ /^X-Pid: (\d+)/m;
            syswrite $to, join ',', map { "$_=$n{$_}" } sort keys %n;
            POSIX::_exit(0);
        }

        close $to;
        push @out, [$pid, $from];
    }

    close $go;
    my $n = 0;
    while ($n < CLIENTS) {
        $n += sysread($ready, my $x, CLIENTS) || die "a client has died\n";
    }
    close $start;

    my %sum;
    for (@out) {
        my ($pid, $from) = @$_;
        local $/;
        my $text = <$from>;
        waitpid $pid, 0;
        $sum{$1} += $2 while $text =~ /\b(\d+)=(\d+)/g;
        $worker{$1} += $2 while $text =~ /\bpid(\d+)=(\d+)/g;
    }
    return \%sum;
}

sub left {
    return h($s->get("/left/$_[0]", { port => $port }),
             'X-RateLimit-Remaining');
}

my $all = CLIENTS * EACH;

for my $round (1 .. ROUNDS) {
    is_deeply(clients(("/one?k=$round") x EACH),
              { 200 => BURST, 429 => $all - BURST },
              "round $round: exactly " . BURST);
}

for my $round (1 .. 10) {
    is_deeply(clients(("/three?k=$round") x EACH),
              { 200 => BURST, 429 => $all - BURST },
              "three policies, round $round: exactly " . BURST);
    is(left("large?k=$round"), 20, "three policies, round $round: large");
    is(left("middle?k=$round"), 10, "three policies, round $round: middle");
}

my $fit = int(BURST / 7);
is_deeply(clients(("/cost?k=$_") x EACH),
          { 200 => $fit, 429 => $all - $fit },
          "a cost of 7, round $_: exactly $fit") for 1 .. 10;

# what a client is given of a policy it must have charged once, and what it
# was refused not at all

my $keys = 400;
for my $round (1 .. 10) {
    is_deeply(clients(map { "/new?round=$round&k=$round.$_" } 1 .. $keys),
              { 200 => $keys, 429 => $keys * (CLIENTS - 1) },
              "$keys new keys, round $round: each once");
    is(left("wide?round=$round"), WIDE - $keys,
       "$keys new keys, round $round: what was refused was given back");
}

cmp_ok(scalar keys %worker, '>', 1,
       'or nothing was shown: several workers took part: ' . keys %worker);

$s->stop;
is($s->complaints, '', 'no error, no alert');

done_testing();
