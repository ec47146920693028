# Workers are killed and reloaded under load: nobody hangs, no key is reset,
# no limit is exceeded, no count is lost, and the log has no alert but the
# master's own line about the signal.

use strict;
use warnings;

use IO::Select;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);
use ApiscaleLab;

use constant {
    CLIENTS => 8, BURST => 500, KILLS => 60, RELOADS => 50,
};

my $s = ApiscaleLab->new(workers => 4, http => <<'END', config => <<"END");
    apiscale_limit_log_level info;
    apiscale_limit_zone zone=z:1m;
    apiscale_limit_zone zone=small:64k;
    apiscale_metrics_zone zone=m:4m;
    keepalive_requests 100000;
END
        apiscale_metrics on;
        location /l {
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[BURST]} policy=p;
            apiscale_limit zone=z key=\$arg_k rate=1r/d burst=@{[2 * BURST]} policy=q;
            empty_gif;
        }
        location /new {
            apiscale_limit zone=small key=\$arg_k rate=1r/h burst=3 policy=n;
            empty_gif;
        }
        location /n {
            empty_gif;
        }
        location = /status {
            apiscale_metrics off;
            apiscale_status;
        }
END

$s->start;


# A client asks until it is told to stop; a connection that breaks is made
# anew.  It prints how many responses of which status it had, and how many
# requests got none.

sub client {
    my ($stop, $uris) = @_;

    my (%n, $sock, $used);
    my $i = $$;
    my $buf = '';
    my $sel = IO::Select->new($stop);

    until ($sel->can_read(0)) {
        my $uri = $uris->[$i++ % @$uris];
        $uri =~ s/\bRAND\b/int rand 1e6/e;

        my $r = eval {
            local $SIG{ALRM} = sub { die "hangs\n" };
            alarm 20;
            $used = defined $sock;
            $sock ||= $s->connect;
            ApiscaleLab::send_all($sock,
                                  "GET $uri HTTP/1.1\r\nHost: l\r\n\r\n");
            my $got = ApiscaleLab::read_response($sock, \$buf);
            alarm 0;
            $got;
        };
        alarm 0;

        if ($r) {
            $n{"$uri " . $r->{status}}++ if $uri !~ m{^/new};
            $n{"/new"}++ if $uri =~ m{^/new};
            $sock = undef if (h($r, 'Connection') // '') eq 'close';
        } else {
            $n{$@ =~ /hangs|waited/ ? 'hung' : $used ? 'idle' : 'lost'}++;
            $sock = undef;
            $buf = '';
        }
    }

    return \%n;
}

sub under_load {
    my ($uris, $what) = @_;

    pipe(my $stop, my $hold) or die;
    my @from;

    for (1 .. CLIENTS) {
        pipe(my $from, my $to) or die;
        my $pid = fork // die;
        if (!$pid) {
            close $hold;
            srand($$);
            print $to encode_json(client($stop, $uris));
            close $to;
            POSIX::_exit(0);
        }
        push @from, [$pid, $from];
    }

    close $stop;
    my $ok = eval { $what->(); 1 };
    my $why = $@;
    close $hold;

    my %sum;
    for (@from) {
        my ($pid, $from) = @$_;
        local $/;
        my $n = decode_json(<$from>);
        waitpid $pid, 0;
        $sum{$_} += $n->{$_} for keys %$n;
    }
    die $why if !$ok;
    return \%sum;
}

sub status { return decode_json($s->get('/status')->{body}) }

sub count_n {
    my ($l) = grep { $_->{location} eq '/n' } @{status()->{locations}};
    return $l->{requests}{total};
}


# 50 reloads under load: each request has its answer, each is counted

my $sum = under_load(['/l?k=r', '/n', '/new?k=RAND'], sub {
    $s->reload for 1 .. RELOADS;
});

is($sum->{hung} // 0, 0, 'reloads: no request hangs');
cmp_ok($sum->{'/n 200'}, '>', 1000, 'reloads: there was a load');
is($sum->{'/l?k=r 200'}, BURST, 'reloads: exactly ' . BURST . ' admitted');
is(count_n(), $sum->{'/n 200'},
   'reloads: no count is lost');

# an idle connection may be closed by a worker that leaves just as its next
# request comes, which clients repeat (RFC 9112, 9.3.1); nothing else is lost

is($sum->{lost} // 0, 0, 'reloads: no request of a new connection is lost');
is($s->complaints, '', 'reloads: nothing to complain of');


# a random worker is killed, 60 times

my @killed;
$sum = under_load(['/l?k=k', '/new?k=RAND', '/l?k=k2'], sub {
    for (1 .. KILLS) {
        my @w = $s->workers;
        my $pid = $w[rand @w];
        kill 'KILL', $pid;
        push @killed, $pid;
        wait_for(sub {
            my @now = $s->workers;
            return @now == 4 && !grep { $_ == $pid } @now;
        }, 'a new worker');
        $s->get('/n');
    }
});

is($sum->{hung} // 0, 0, 'kills: no request hangs');

for my $k ('k', 'k2') {
    my $n = $sum->{"/l?k=$k 200"};
    cmp_ok($n, '<=', BURST, "kills: not one more than the burst of $k");

    # a request is charged first and answered then
    cmp_ok($n, '>=', BURST - @killed * CLIENTS,
           "kills: as many charges lost as requests at most, of $k");

    my $r = $s->get("/l?k=$k");
    is($r->{status}, 429, "kills: $k is not reset");
    like(h($r, 'RateLimit'), qr/^"p";r=0;t=\d+, "q";r=\d+;t=\d+$/,
         "kills: $k has nothing left");
}

my %killed = map { $_ => 1 } @killed;
my @alerts = grep { /\[(?:alert|crit|emerg|error)\]/ }
             split /\n/, $s->error_log;
my @other = grep { !(/worker process (\d+) exited on signal 9/
                     && $killed{$1}) } @alerts;
is(join("\n", @other), '', 'kills: no alert but of the signal');
is(@alerts - @other, KILLS, 'kills: one for each');

$s->stop;
done_testing();
