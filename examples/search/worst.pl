# worst.pl -- the largest difference between two .npy files of f32 of one shape:   perl worst.pl A.npy B.npy
use strict;
use warnings;

sub elements {
    my ($path) = @_;
    open my $f, '<:raw', $path or die "$path: $!\n";
    local $/;
    my $bytes = <$f>;
    my ($head) = unpack 'x8 v/a', $bytes;
    $head =~ /'<f4'.*'shape': \((.*?),?\)/ or die "$path: not f32\n";
    return ($1, unpack 'f<*', substr $bytes, 10 + length $head);
}

my ($shape, @a) = elements($ARGV[0]);
my ($other, @b) = elements($ARGV[1]);
die "shapes ($shape) and ($other)\n" if $shape ne $other;
my $worst = 0;
for my $i (0 .. $#a) {
    my $d = abs($a[$i] - $b[$i]);
    $worst = $d unless $d <= $worst; # a NaN is worst of all
}
printf "%.1e\n", $worst;
