# Four workers and eight clients that ask for one key at once: exactly
# "burst" requests are admitted, never one more and never one less, 50 times
# in a row.  The rate is so slow that nothing is refilled meanwhile.

use strict;
use warnings;

use Test::More;
use ApiscaleLab;

use constant { CLIENTS => 8, ROUNDS => 50, BURST => 60, EACH => 15 };

my $s = ApiscaleLab->new(workers => 4, http => <<'END', config => <<"END");
    apiscale_limit_log_level info;
    apiscale_limit_headers off;
    apiscale_limit_zone zone=z:1m;
    apiscale_limit_zone zone=y:1m;
    keepalive_requests 100000;
END
        location /one {
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST]} policy=one;
            empty_gif;
        }
        # three policies of different sizes: what the smallest rejects, the
        # others must have back
        location /three {
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST]} policy=small;
            apiscale_limit zone=y key=\$arg_k rate=1r/d burst=@{[BURST + 10]} policy=middle;
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST + 20]} policy=large;
            empty_gif;
        }
        location /rest {
            apiscale_limit_headers x-ratelimit;
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST + 20]} policy=large;
            apiscale_limit zone=y key=\$arg_k rate=1r/d burst=@{[BURST + 10]} policy=middle;
            empty_gif;
        }
        location /cost {
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST]} cost=7 policy=cost;
            empty_gif;
        }
        # many new keys in one small table, at once
        location /new {
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=1 policy=new;
            empty_gif;
        }
END

$s->start;

# Forks the clients, lets them connect, then go at once; each sends its
# requests in one go, so that workers meet.  Returns the number of responses
# by status.

sub clients {
    my ($uri) = @_;

    pipe(my $ready, my $say) or die;
    pipe(my $go, my $start) or die;
    my @out;

    for my $i (1 .. CLIENTS) {
        pipe(my $from, my $to) or die;
        my $pid = fork // die "fork: $!";

        if (!$pid) {
            close $start;
            my $sock = $s->connect;
            my @uris = ref $uri ? @$uri : ($uri) x EACH;
            my $text = join '', map { "GET $_ HTTP/1.1\r\nHost: l\r\n\r\n" }
                                    @uris;
            syswrite $say, 'x';
            sysread $go, my $x, 1;        # until the parent closes it

            my %n;
            my @r = eval { $s->request($text, sock => $sock,
                                       count => scalar @uris) };
            $n{$_->{status}}++ for @r;
            syswrite $to, join ',', map { "$_=$n{$_}" } sort keys %n;
            POSIX::_exit(0);
        }

        close $to;
        push @out, [$pid, $from];
    }

    close $go;
    my $n = 0;
    while ($n < CLIENTS) {
        $n += sysread $ready, my $x, CLIENTS;
    }
    close $start;

    my %sum;
    for (@out) {
        my ($pid, $from) = @$_;
        local $/;
        my $text = <$from>;
        waitpid $pid, 0;
        $sum{$1} += $2 while $text =~ /(\d+)=(\d+)/g;
    }
    return \%sum;
}

my $all = CLIENTS * EACH;

for my $round (1 .. ROUNDS) {
    is_deeply(clients("/one?k=$round"), { 200 => BURST, 429 => $all - BURST },
              "round $round: exactly " . BURST);
}

for my $round (1 .. 10) {
    is_deeply(clients("/three?k=$round"),
              { 200 => BURST, 429 => $all - BURST },
              "three policies, round $round: exactly " . BURST);

    my $r = $s->get("/rest?k=$round");
    is(h($r, 'X-RateLimit-Remaining'), 9,
       "three policies, round $round: the others were charged so often");
}

my $fit = int(BURST / 7);
is_deeply(clients("/cost?k=$_"), { 200 => $fit, 429 => $all - $fit },
          "a cost of 7, round $_: exactly $fit") for 1 .. 10;

for my $round (1 .. 10) {
    my @uris = map { "/new?k=$round.$_" } 1 .. 40;
    is_deeply(clients(\@uris), { 200 => 40, 429 => 40 * (CLIENTS - 1) },
              "40 new keys, round $round: each once");
}

# every worker had its part, or the test has shown nothing

$s->stop;
is($s->complaints, '', 'no error, no alert');

my %worker;
my $log = $s->error_log;
$worker{$1}++ while $log =~ /\[info\] (\d+)#.*limiting requests/g;
cmp_ok(scalar keys %worker, '>', 1, 'several workers took part: '
                                    . keys %worker);

done_testing();
