# Deprecation, Sunset and Link: when they are sent, what they say, and what
# of the client's URI they repeat

use strict;
use warnings;

use Test::More;
use HTTP::Date qw(str2time);
use POSIX ();

use lib 't/lib';
use ApiscaleRaw;

my $s = ApiscaleRaw->new;

$s->start(<<'END');
    apiscale_api main {
        prefix /api;
        default $http_x_pin 2;

        version 1 {
            deprecated 2020-01-01;
            sunset 2997-06-30T23:59:59Z;
            successor 2;
            link https://docs.example/v1?a=b#c;
        }
        version 2 { }
        version 3 { deprecated 2998-01-01; sunset 2999-01-01; successor 2;
                    link /docs/v3; }
        version 4 { deprecated 2020-01-01; }
        version 5 { deprecated 2020-01-01; link /docs/v5; }
        version 6 { sunset 2999-01-01; successor 2; }
        version 7 { deprecated 2020-01-01; successor 0; }
        version 0 { deprecated 2019-01-01; sunset 2020-02-29T12:00:00+01:00;
                    successor 00; }
        version 00 { sunset 2020-03-01; successor 2; }
        version 8 { deprecated 2020-01-01; successor 9; }
        version 9 { sunset 2020-01-01; }
    }
    apiscale_api root {
        version 1 { deprecated 2020-01-01; successor 2; }
        version 2 { }
    }
    apiscale_api kept {
        prefix /off; rewrite off;
        version 1 { deprecated 2020-01-01; successor 2; }
        version 2 { }
    }

    server {
        listen 127.0.0.1:PORT;
        apiscale_use_api main root kept;

        location / { return 200 "$uri $apiscale_version"; }
        location = /api/empty { empty_gif; }
        location = /api/204 { return 204; }
        location = /api/401 { return 401; }
        location = /api/302 { return 302 /elsewhere; }
        location = /api/502 { proxy_pass http://127.0.0.1:1; }
        location /api/origin { proxy_pass http://127.0.0.1:PORT1; }
        location /api/static/ { alias ROOT/html/; log_not_found off; }
        location = /api/logged {
            add_trailer X-Sent "$sent_http_deprecation|$sent_http_sunset";
            return 200 "";
        }
    }

    server {
        listen 127.0.0.1:PORT1;
        location / { return 404; }
        location = /api/origin/deprecation {
            add_header deprecation @1500000000;
            return 200 "";
        }
        location = /api/origin/sunset {
            add_header SUNSET "Wed, 01 Jan 2031 00:00:00 GMT";
            add_header Link "</next>; rel=next";
            add_header Link "</prev>; rel=prev";
            return 200 "";
        }
        location = /api/origin/null {
            add_header X-Accel-Redirect /api/origin/deprecation;
            return 200 "";
        }
    }
END

open(my $file, '>', "@{[$s->root]}/html/file.txt") or die $!;
print $file "text\n";
close $file;

# all lines of one name, in order
sub lines {
    my ($header, $name) = @_;

    return [$header =~ /^\Q$name\E: (.*?)\r?$/mgi];
}

# what each of the three lines says after a GET
sub told {
    my ($path, @headers) = @_;
    my ($status, $header) = $s->get($path, @headers);

    return [$status, map { @{lines($header, $_)} } qw(Deprecation Sunset Link)];
}

my $dep1 = '@1577836800';
my $sun1 = 'Fri, 30 Jun 2997 23:59:59 GMT';
my $doc1 = '<https://docs.example/v1?a=b#c>; rel="deprecation"; '
           . 'type="text/html"';

sub v1 {
    my ($link) = @_;
    return ($dep1, $sun1, $doc1 . (@_ ? ", <$link>; rel=\"successor-version\""
                                      : ''));
}

is_deeply(told('/api/v1/users/7?x=y'), [200, v1('/api/v2/users/7?x=y')],
          'all three');
is_deeply(told('/api/v2/users'), [200], 'nothing of a current version');
is_deeply(told('/api/v3/users'), [200], 'nothing before the date');
is_deeply(told('/api/users'), [200], 'nothing of a current default');
is_deeply(told('/elsewhere'), [400], 'nothing without a version');
is_deeply(told('/api/v4/users'), [200, $dep1], 'a date alone');
is_deeply(told('/api/v5/users'),
          [200, $dep1, '</docs/v5>; rel="deprecation"; type="text/html"'],
          'a link without successor');
is_deeply(told('/api/v6/users'),
          [200, 'Tue, 01 Jan 2999 00:00:00 GMT',
           '</api/v2/users>; rel="successor-version"'],
          'a sunset without deprecation is announced');
is_deeply(told('/api/v7/x'),
          [200, $dep1, '</api/v2/x>; rel="successor-version"'],
          'successors that are gone are passed over');
is_deeply(told('/api/v8/x'), [200, $dep1], 'no link to a version that is gone');
is_deeply(told('/api/v0/x'),
          [410, '@1546300800', 'Sat, 29 Feb 2020 11:00:00 GMT',
           '</api/v2/x>; rel="successor-version"'],
          'of a version that is gone');
is_deeply(told('/api/v00/x'),
          [410, 'Sun, 01 Mar 2020 00:00:00 GMT',
           '</api/v2/x>; rel="successor-version"'],
          'of one that was never deprecated');

# the client did not name it in the URI
is_deeply(told('/api/users', 'X-Pin: 1'), [200, v1()],
          'no successor of this URI where it names no version');

# the dates, read by another program
{
    my ($status, $header) = $s->get('/api/v1/x');
    my ($dep) = @{lines($header, 'Deprecation')};
    my ($sun) = @{lines($header, 'Sunset')};

    like($dep, qr/^@\d+$/, 'Deprecation is a structured date');
    is(POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime substr($dep, 1)),
       '2020-01-01T00:00:00Z', 'Deprecation is the date');
    is(POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime str2time($sun)),
       '2997-06-30T23:59:59Z', 'Sunset is the date');
    is($sun, HTTP::Date::time2str(str2time($sun)), 'weekday and form');
}

# every kind of response
for my $case (
    ['empty', 200], ['204', 204], ['401', 401], ['302', 302], ['502', 502],
    ['origin/x', 404], ['static/file.txt', 200], ['static/none', 404])
{
    my ($name, $status) = @$case;

    is_deeply(told("/api/v1/$name"), [$status, v1("/api/v2/$name")],
              "on a $status, $name");
}

is_deeply(told('/api/v1/static/file.txt',
               'If-Modified-Since: ' . HTTP::Date::time2str(
                   (stat "@{[$s->root]}/html/file.txt")[9])),
          [304, v1('/api/v2/static/file.txt')], 'on a 304');
is_deeply(told('/api/v1/static/file.txt', 'If-Match: "none"'),
          [412, v1('/api/v2/static/file.txt')], 'on a 412');
is_deeply(told('/api/v1/static/file.txt', 'Range: bytes=0-1'),
          [206, v1('/api/v2/static/file.txt')], 'on a 206');
is_deeply(told('/api/v1/static/file.txt', 'Range: bytes=99-'),
          [416, v1('/api/v2/static/file.txt')], 'on a 416');

{
    my ($status, $header, $body) = $s->get('HEAD /api/v1/x');

    is_deeply([map { @{lines($header, $_)} } qw(Deprecation Sunset Link)],
              [v1('/api/v2/x')], 'on a HEAD');
    is($body, '', 'which has no body');
}

# what the origin says itself
is_deeply(told('/api/v1/origin/deprecation'),
          [200, '@1500000000', (v1('/api/v2/origin/deprecation'))[1, 2]],
          'the origin knows since when');
is_deeply(told('/api/v1/origin/sunset'),
          [200, $dep1, 'Wed, 01 Jan 2031 00:00:00 GMT', '</next>; rel=next',
           '</prev>; rel=prev', (v1('/api/v2/origin/sunset'))[2]],
          'the origin knows until when, and its links stay');
is_deeply(told('/api/v1/origin/null'),
          [200, '@1500000000', (v1('/api/v2/origin/null'))[1, 2]],
          'after X-Accel-Redirect: of the URI that the client asked for');

# this very URI, in the client's encoding
for my $case (
    ['/api/v1', '/api/v2'],
    ['/api/v1/', '/api/v2/'],
    ['/api/v1?v1', '/api/v2?v1'],
    ['/api/v1/a%2Fb%20c?d=%3C', '/api/v2/a%2Fb%20c?d=%3C'],
    ['/api/v1/v1/api/v1', '/api/v2/v1/api/v1'],
    ['/api/v1//x', '/api/v2//x'],
    ['/api//v1/x', '/api//v2/x'],
    ['//api/v1/x', '/api/v2/x'],
    ['///api///v1/x', '/api///v2/x'],
    ['/%61pi/%761/x', '/%61pi/v2/x'],
    ['/api/v1/../v1/x', '/api/v2/x'],
    ['/api/v1/./a%20b%3f?q', '/api/v2/a%20b%3F?q'],
    ['/api/v1%2Fx', '/api/v2/x'],
    ['/api/v1/x#y', '/api/v2/x'],
    ['/api/v1/%0d%0aX-Evil:%201', '/api/v2/%0d%0aX-Evil:%201'],
    ['/api/v1/./%0d%0aX-Evil:%201', '/api/v2/%0D%0AX-Evil:%201'],
    ['/api/v1/"<b>\\^`{|}', '/api/v2/%22%3Cb%3E%5C%5E%60%7B%7C%7D'],
    ['/api/v1/?"><b>', '/api/v2/?%22%3E%3Cb%3E'],
    ['/api/v1/./?"><b>', '/api/v2/?%22%3E%3Cb%3E'],
    ["/api/v1/\xc3\xa9\xff?\x80", '/api/v2/%C3%A9%FF?%80'],
    ['/off/v1/x?y', '/off/v2/x?y', '@1577836800'])
{
    my ($path, $link) = @$case;
    my $expected = $path =~ /^\/off/
                   ? [200, $dep1, "<$link>; rel=\"successor-version\""]
                   : [200, v1($link)];

    is_deeply(told($path), $expected, "successor of $path");
}

for my $case (
    ['/v1', '/v2'],
    ['/v1/', '/v2/'],
    ['/v1?x', '/v2?x'],
    ['//v1/x', '/v2/x'],
    ['/v1//x', '/v2//x'],
    ['/%76%31/x', '/v2/x'],
    ['/v1/v1', '/v2/v1'],
    ['http://localhost/v1/x', '/v2/x'])
{
    my ($path, $link) = @$case;

    is_deeply(told($path),
              [200, $dep1, "<$link>; rel=\"successor-version\""],
              "successor of $path");
}

# a header that is too long is lost by a proxy, with the whole response
is_deeply(told('/api/v1/' . ('x' x 2040)),
          [200, v1('/api/v2/' . ('x' x 2040))], 'a URI of 2048 bytes');
is_deeply(told('/api/v1/' . ('x' x 2041)), [200, v1()], 'a longer URI');
is_deeply(told('/api/v1/' . ('x' x 8000)), [200, v1()], 'a URI of 8 KB');

is($s->alerts =~ s/^.*connect\(\) failed.*\n//mr, '', 'nothing is logged');

done_testing();
