# fuzz_meta.pl -- damaged artifacts, described:    perl fuzz_meta.pl SEED ROUNDS|SECONDSs FILE...
#
# Each round changes a few bytes of an artifact's head, its tables or its description (then mostly with a hash that is right again, so that
# what reads the JSON sees it), or cuts it short. `mdlrun FILE info` must describe it or refuse it: any other status, a signal above all, is a fault.
use strict;
use warnings;
use Digest::SHA qw(sha256);

my ($seed, $rounds, @files) = @ARGV;
my $state = $seed;
sub below { my ($n) = @_; $state = ($state * 1103515245 + 12345) & 0x7fffffff; return ($state >> 8) % $n; }

my @bytes = map { local $/; open(my $f, '<:raw', $_) or die "$_: $!"; <$f> } @files;
my @numbers = ("\0\0\0\0", "\xff\xff\xff\xff", "\xff\xff\xff\x7f", "\0\0\0\x80", "\1\0\0\0", "\0\x10\0\0");
my @words = ('null', '-1', '[]', '{}', '""', '9223372036854775807', '1e308', '"\u0000"', '[[[[[[[[]]]]]]]]', 'true', '18446744073709551616');
my %seen;

my ($round, $end) = (0, $rounds =~ s/s$// ? time + $rounds : 0);
while ($end ? time < $end : $round < $rounds) {
    $round++;
    my $file = $bytes[$round % @bytes];
    my $meta = index($file, 'MDLMETA1');
    die "no description\n" if $meta < 0;
    my $length = unpack('Q<', substr($file, $meta + 8, 8));
    my $way = below(6);
    if ($way == 0) {
        $file = substr($file, 0, below(length $file));
    } elsif ($way == 1) { # the head
        substr($file, below(64), 4) = $numbers[below(scalar @numbers)];
    } elsif ($way == 2) { # a number in the tables at the end of an ELF file
        substr($file, length($file) - 4 - below(2048), 4) = $numbers[below(scalar @numbers)];
    } elsif ($way == 3) { # around the description
        substr($file, $meta - 24 + below(60), 4) = $numbers[below(scalar @numbers)];
    } else { # inside it: a value becomes another, at the same length
        my $json = substr($file, $meta + 16, $length);
        for (0 .. below(3)) {
            my @at;
            push @at, [$-[1], length $1] while $json =~ /:("[^"]*"|\d+|\[[^\[\]]*\]|null|true|false)/g;
            my ($at, $n) = @{ $at[below(scalar @at)] };
            my $word = $words[below(scalar @words)];
            substr($json, $at, $n) = $word . ' ' x ($n - length $word) if length $word <= $n;
        }
        substr($json, below($length), 1) = chr below(256) if $way == 5;
        substr($file, $meta + 16, $length + 32) = $json . sha256($json);
    }
    open(my $out, '>:raw', 'damaged') or die;
    print $out $file;
    close $out;
    for my $option ('', ' --json') {
        system("mdlrun damaged info$option >said 2>&1");
        my $status = $? & 127 ? 'signal ' . ($? & 127) : $? >> 8;
        $seen{$status}++;
        next if $status eq '0' || $status eq '1';
        system('cat said; cp damaged fault');
        die "round $round, way $way, of $files[$round % @files]: status $status\n";
    }
}
print STDERR "$round rounds\n" if $end;
print "described some, refused some, nothing else\n" if $seen{0} && $seen{1};
