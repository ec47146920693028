# Files and directives that are refused, and where it is told.

use strict;
use warnings;

use Digest::SHA qw(sha256_hex);
use Test::More;
use ApiscaleLab;

my $s = ApiscaleLab->new;
my $file = root() . '/c.json';
my $lines = "apiscale_consumers zone=c:1m file=$file";

# what nginx -t says of a file; undef if it is accepted
sub refused {
    my ($text) = @_;

    $s->file('c.json', $text);
    my ($ok, $said) = $s->check(http => "$lines;");
    return $ok ? undef : $said;
}

sub accepts {
    my ($text, $name) = @_;
    is(refused($text), undef, "accepted: $name");
}

sub refuses {
    my ($text, $place, $why, $name) = @_;
    my $said = refused($text) // 'nothing';
    like($said, qr/\[emerg\] (?:\d+\#\d+: )?\Q$file:$place: $why\E\n/,
         'refused: ' . ($name // $why));
}

my $k1 = 'sha256:' . sha256_hex(1);
my $k2 = 'sha256:' . sha256_hex(2);

sub one { qq({"consumers":[$_[0]]}) }


# --- files

accepts('{"consumers":[]}', 'nobody');
accepts(" \r\n\t{ \"consumers\" :\n[ ]\t}\n ", 'white space');
accepts(one('{"id":"a"}'), 'no keys');
accepts(one('{"id":"a","keys":[]}'), 'no keys in an array');
accepts(one(qq({"id":"a","keys":["$k1","$k2"],"plan":"p","version":"1"})),
        'all members');
accepts(one('{"id":"a","x":{"y":[null,true,1.5e3,"z"]}}'),
        'other members of a consumer');
accepts('{"a":1,"b":{},"consumers":[],"c":[[]],"d":null,"e":"x","f":true}',
        'other members beside the consumers');
accepts(one('{"\u0069d":"a\u00e9\ud83d\ude00"}'), 'escapes');
accepts(one(qq({"id":"\xc3\xa9\xf0\x9f\x98\x80"})), 'UTF-8');
accepts(one('{"id":"' . 'x' x 255 . '"}'), 'an id of 255 bytes');
accepts(one(join ',', map { qq({"id":"$_"}) } 1 .. 3000), '3000 consumers');
accepts(one('{"id":"a","keys":["' . join('","', map {
    'sha256:' . sha256_hex("k$_") } 1 .. 3000) . '"]}'), '3000 keys of one');
accepts(one('{"id":"a","x":' . '[' x 31 . ']' x 31 . '}'), '32 deep');

refuses('', '1:1', 'unexpected end, expected "{"', 'an empty file');
refuses("\n \n", '3:1', 'unexpected end, expected "{"', 'an empty file');
refuses('[]', '1:1', 'expected "{"');
refuses("\xef\xbb\xbf{}", '1:1', 'expected "{"', 'a byte order mark');
refuses('{}', '1:1', '"consumers" is missing');
refuses('{"consumer":[]}', '1:1', '"consumers" is missing');
refuses('{"consumers":{}}', '1:14', '"consumers" is not an array');
refuses('{"consumers":null}', '1:14', '"consumers" is not an array');
refuses('{"consumers":[],"consumers":[]}', '1:17', 'duplicate name');
refuses('{"x":1,"consumers":[],"x":2}', '1:23', 'duplicate name');
refuses("{\n1:2}", '2:1', 'a name is not a string');
refuses('{"consumers":[]', '1:16', 'unexpected end, expected ","');
refuses('{"consumers":[', '1:15', 'unexpected end');
refuses('{"consumers":[],', '1:17', 'unexpected end');
refuses('{"consumers"', '1:13', 'unexpected end, expected ":"');
refuses('{"consumers":[] "a":1}', '1:17', 'expected ","');
refuses('{"consumers":[]}}', '1:17', 'unexpected text after the end');
refuses("{\"consumers\":[]}\n\0", '2:1', 'unexpected text after the end',
        'a NUL at the end');
refuses('{"consumers" []}', '1:14', 'expected ":"');
refuses('{"a":tru,"consumers":[]}', '1:8', 'invalid token');
refuses('{"a":"' . "\xff" . '","consumers":[]}', '1:7',
        'unable to decode byte 0xff', 'bytes that are not UTF-8, elsewhere');

refuses(one('1'), '1:15', 'a consumer is not an object');
refuses(one("{\"id\":\"a\"},\n  \"b\""), '2:3', 'a consumer is not an object');
refuses(one('{"id":"a"},'), '1:26', 'unexpected token', 'a comma too much');
refuses(one('{"id":"a"} {"id":"b"}'), '1:26', 'expected ","');
refuses(one('{}'), '1:15', 'a consumer without "id"');
refuses(one('{"name":"a"}'), '1:15', 'a consumer without "id"');

for my $m ('id', 'plan', 'version') {
    my $id = $m eq 'id' ? '' : '"id":"a",';
    for my $v ('1', 'null', '{}', '["a"]', 'true') {
        refuses(one("{$id\"$m\":$v}"), '1:15',
                "\"$m\" of a consumer is not a string", "$m: $v");
    }
    for my $v ('', 'x' x 256) {
        refuses(one("{$id\"$m\":\"$v\"}"), '1:15',
                "\"$m\" of a consumer has not 1 to 255 bytes",
                "$m of " . length($v) . ' bytes');
    }
    for my $v ('\u000a', '\r', '\u007f', "\x7f", '\u001f') {
        refuses(one("{$id\"$m\":\"$v\"}"), '1:15',
                "\"$m\" of a consumer has a control byte",
                "$m: a control byte");
    }
}

refuses(one("{\"id\":\"a\"},\n\n {\"plan\":\"b\",\"id\":\"a\"}"), '3:2',
        'duplicate consumer "a"');
refuses(one('{"id":"\u0061"},{"id":"a"}'), '1:31', 'duplicate consumer "a"',
        'a duplicate that is written another way');
refuses(one('{"id":"a","id":"a"}'), '1:28', 'duplicate object key');
refuses(one('{"id":"a","x":1,"x":1}'), '1:33', 'duplicate object key');
refuses(one('{"id":"a","x":{"y":1,"y":2}}'), '1:38', 'duplicate object key');
refuses(one('{"id":"a\u0000"}'), '1:29', '\u0000 is not allowed without '
        . 'JSON_ALLOW_NUL', 'a NUL');
refuses(one("{\"id\":\"a\xff\"}"), '1:23', 'unable to decode byte 0xff',
        'bytes that are not UTF-8');
refuses(one("{\"id\":\"a\xc0\x80\"}"), '1:23', 'unable to decode byte 0xc0',
        'an overlong NUL');
refuses(one("{\"id\":\"\xed\xa0\x80\"}"), '1:22', 'unable to decode byte 0xed',
        'a surrogate');
refuses(one('{"id":"\ud800"}'), '1:28', 'invalid Unicode \'\uD800\'',
        'half a pair');
refuses(one('{"id":"a'), '1:25', 'premature end of input', 'a cut string');
refuses("{\"consumers\":[{\"id\":\"a\",\n\"plan\":\"b", '2:10',
        'premature end of input', 'a cut file');

refuses(one('{"id":"a","keys":"x"}'), '1:15',
        '"keys" of consumer "a" is not an array');
refuses(one('{"id":"a","keys":{}}'), '1:15',
        '"keys" of consumer "a" is not an array');

for my $k ('1', '""', '"' . sha256_hex(1) . '"', '"sha256:"',
           '"sha256:' . substr(sha256_hex(1), 1) . '"',
           '"sha256:' . sha256_hex(1) . '0"',
           '"sha256:g' . substr(sha256_hex(1), 1) . '"',
           '"SHA256:' . sha256_hex(1) . '"', 'null', '["x"]')
{
    refuses(one(qq({"id":"a","keys":["$k2",$k]})), '1:15',
            'key 2 of consumer "a" is not "sha256:" and 64 hexadecimal '
            . 'digits', "key $k");
}

refuses(one(qq({"id":"a","keys":["$k1"]},\n{"id":"b","keys":["$k2","$k1"]})),
        '2:1', 'key 2 of consumer "b" is already a key of consumer "a"');
refuses(one(qq({"id":"a","keys":["$k1","sha256:\U@{[substr $k1, 7]}"]})),
        '1:15', 'key 2 of consumer "a" is already a key of consumer "a"');

refuses(one('{"id":"a","x":' . '[' x 32 . ']' x 32 . '}'), '1:60',
        'nested more than 32 deep');
refuses('{"x":' . '[' x 1_000_000, '1:38', 'nested more than 32 deep',
        'a million brackets');
refuses('{"x":"' . 'y' x 1_048_576 . '"}', '1:6',
        'a value of more than 1048576 bytes');
refuses(one('{"id":"a","x":"' . 'y' x 1_048_576 . '"}'), '1:15',
        'a value of more than 1048576 bytes');

# a secret that somebody has put there is not told

unlike(refused(one('{"id":"a","keys":[topsecret]}')), qr/topsecret/,
       'no text of the file in a message');


# --- large files

{
    open(my $out, '>', $file) or die;
    print $out '{"consumers":[';
    print $out "\n" x 1_048_576 for 1 .. 100;
    print $out 'x';
    close $out;
    my ($ok, $said) = $s->check(http => "$lines;");
    like($said, qr/\Q$file:104857601:1: invalid token\E\n/,
         '100 MB of white space');

    open($out, '>', $file) or die;
    print $out "\xff" x 1_048_576 for 1 .. 100;
    close $out;
    ($ok, $said) = $s->check(http => "$lines;");
    like($said, qr/\Q$file:1:1: expected "{"\E\n/, '100 MB of anything');

    open($out, '>', $file) or die;
    print $out '{"consumers":[' . '{"id":"a","x":' x 7_000_000;
    close $out;
    ($ok, $said) = $s->check(http => "$lines;");
    like($said, qr/\Q$file:1:463: nested more than 32 deep\E\n/,
         '100 MB of nesting');

    truncate($file, 2 * 1_073_741_824) or die $!;
    ($ok, $said) = $s->check(http => "$lines;");
    like($said, qr/"\Q$file\E" is larger than 1073741824 bytes\n/, '2 GB');
    unlink $file;
}


# --- files that are none

my ($ok, $said) = $s->check(http => "$lines;");
like($said, qr/open\(\) "\Q$file\E" failed \(2: No such file or directory\)\n/,
     'no file');

($ok, $said) = $s->check(http => "apiscale_consumers zone=c:1m file=/;");
like($said, qr/"\/" is not a regular file\n/, 'a folder');

POSIX::mkfifo($file, 0600) or die $!;
($ok, $said) = $s->check(http => "$lines;");
like($said, qr/"\Q$file\E" is not a regular file\n/, 'a FIFO');
unlink $file;

$s->file('c.json', '{"consumers":[]}');
chdir '/';
$s->file('conf/rel.json', '{"consumers":[{"id":1}]}');
($ok, $said) = $s->check(http => "apiscale_consumers zone=c:1m file=rel.json;");
like($said, qr/\Q@{[root()]}\E\/conf\/rel\.json:1:15: /,
     'relative to the configuration');


# --- a zone that is too small

$s->file('c.json', one(join ',', map {
    qq({"id":"consumer-$_","keys":["sha256:@{[sha256_hex $_]}"]})
} 1 .. 10_000));
($ok, $said) = $s->check(http => "apiscale_consumers zone=c:1m file=$file;");
like($said, qr/zone "c" is too small for 10000 consumers with 10000 keys of "\Q$file\E", (\d+)k would do\n/,
     'a zone that is too small');
my ($k) = $said =~ /(\d+)k would do/;
($ok, $said) = $s->check(
    http => "apiscale_consumers zone=c:${k}k file=$file;");
ok($ok, "${k}k would do");
cmp_ok($k * 1024 / 10_000, '<', 200, 'under 200 bytes a consumer, twice');
($ok, $said) = $s->check(
    http => "apiscale_consumers zone=c:@{[int $k * .9]}k file=$file;");
ok(!$ok, 'a tenth less would not');


# --- directives

$s->file('c.json', '{"consumers":[]}');

my @bad = (
    ['apiscale_consumers zone=c:1m;', '"apiscale_consumers" must have "file" parameter'],
    ["apiscale_consumers file=$file;", '"apiscale_consumers" must have "zone" parameter'],
    ['apiscale_consumers;', 'invalid number of arguments in "apiscale_consumers" directive'],
    ["$lines; apiscale_consumers zone=d:1m file=$file;", '"apiscale_consumers" directive is duplicate'],
    ["$lines zone=d:1m;", 'invalid parameter "zone=d:1m"'],
    ["$lines file=x;", 'invalid parameter "file=x"'],
    ["$lines redis=r;", 'invalid parameter "redis=r"'],
    ["$lines reload=1s reload=1s;", 'invalid parameter "reload=1s"'],
    ["$lines reload=x;", 'invalid reload value "reload=x"'],
    ["$lines reload=;", 'invalid reload value "reload="'],
    ["$lines reload=-1;", 'invalid reload value "reload=-1"'],
    ['apiscale_consumers zone=c:1m file=;', 'invalid parameter "file="'],
    ["apiscale_consumers zone=c file=$file;", 'invalid zone size "zone=c"'],
    ["apiscale_consumers zone=:1m file=$file;", 'invalid zone size "zone=:1m"'],
    ["apiscale_consumers zone=c:x file=$file;", 'invalid zone size "zone=c:x"'],
    ["apiscale_consumers zone=c:8k file=$file;", 'zone "zone=c:8k" is too small'],
    ["limit_req_zone \$uri zone=c:1m rate=1r/s; $lines;", 'the shared memory zone "c" is already declared for a different use'],
    ['apiscale_consumer required;', 'no "apiscale_consumers" is defined for the "apiscale_consumer" directive in ' . root() . '/conf/nginx.conf:'],
    ["$lines; apiscale_consumer on;", 'invalid value "on"'],
    ["$lines; apiscale_consumer;", 'invalid number of arguments'],
    ["$lines; apiscale_consumer required; apiscale_consumer optional;", '"apiscale_consumer" directive is duplicate'],
    ["$lines; apiscale_consumer_key;", 'invalid number of arguments'],
    ["$lines; apiscale_consumer_key \$a \$b;", 'invalid number of arguments'],
    ["$lines; apiscale_consumer_key \$uri; apiscale_consumer_key \$uri;", '"apiscale_consumer_key" directive is duplicate'],
    ["$lines; apiscale_consumer_key \$nosuch;", 'unknown "nosuch" variable'],
    ["$lines; apiscale_consumer_key a\$nosuch;", 'unknown "nosuch" variable'],
);

for (@bad) {
    my ($http, $why) = @$_;
    ($ok, $said) = $s->check(http => $http);
    ok(!$ok && index($said, $why) >= 0, "refused: $http") or diag $said;
}

for (["location / { $lines; }", '"apiscale_consumers" directive is not allowed here'],
     ["$lines;", '"apiscale_consumers" directive is not allowed here'],
     ['location / { apiscale_consumer_key x; }', '"apiscale_consumer_key" directive is not allowed here'],
     ['location / { if ($uri) { apiscale_consumer required; } }', '"apiscale_consumer" directive is not allowed here'])
{
    my ($config, $why) = @$_;
    ($ok, $said) = $s->check(http => "$lines;", config => $config);
    ok(!$ok && index($said, $why) >= 0, "refused: $config") or diag $said;
}

for ("$lines;", "$lines reload=0;", "$lines reload=1h;",
     "$lines reload=100ms; apiscale_consumer required;",
     'apiscale_consumer optional;', 'apiscale_consumer_key $uri;',
     "$lines; apiscale_consumer_key constant;",
     "$lines; apiscale_consumer_key \${arg_a};")
{
    ($ok, $said) = $s->check(http => $_, config => '');
    ok($ok, "accepted: $_") or diag $said;
}

done_testing();
