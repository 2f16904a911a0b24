# near.pl -- near.pl A.npy B.npy: says "near" where all f32 of A and B agree within 1e-5 of A's largest, else where they do not.
use strict;
use warnings;

sub numbers {
    my ($name) = @_;
    open my $f, '<:raw', $name or die "$name: $!\n";
    local $/;
    my $bytes = <$f>;
    return unpack 'f<*', substr $bytes, 10 + unpack 'v', substr $bytes, 8, 2;
}

my @x = numbers($ARGV[0]);
my @y = numbers($ARGV[1]);
die "$ARGV[1]: @{[scalar @y]} numbers, not @{[scalar @x]}\n" if @x != @y || !@x;
my $most = 0;
for (@x) { $most = abs if abs > $most }
for my $i (0 .. $#x) {
    next if abs($x[$i] - $y[$i]) <= 1e-5 * $most;    # false for NaN
    print "$ARGV[1]: element $i is $y[$i], not $x[$i]\n";
    exit;
}
print "near\n";
