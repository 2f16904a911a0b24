# agree.pl -- two encoders beside each other:   perl agree.pl TEXTS_A.npy TEXTS_B.npy ASKED_A.npy ASKED_B.npy
#
# Prints the least cosine between a text's vectors of the one and of the other, and of the five texts that are nearest to each
# vector asked with, by the one, how many are among the five of the other, in percent. All vectors have length 1.
use strict;
use warnings;
use List::Util qw(min);

sub rows {
    my ($path) = @_;
    open my $f, '<:raw', $path or die "$path: $!\n";
    local $/;
    my $bytes = <$f>;
    my ($head) = unpack 'x8 v/a', $bytes;
    $head =~ /'<f4'.*'shape': \((\d+), (\d+),?\)/ or die "$path: no matrix of f32\n";
    my $width = 4 * $2;
    return map { [unpack 'f<*', substr $bytes, 10 + length($head) + $_ * $width, $width] } 0 .. $1 - 1;
}

sub product {
    my ($x, $y) = @_;
    my $sum = 0;
    $sum += $x->[$_] * $y->[$_] for 0 .. $#$x;
    return $sum;
}

# The places of the five rows of @$texts that are nearest to $x.
sub nearest {
    my ($x, $texts) = @_;
    my @near = map { product($x, $_) } @$texts;
    return (sort { $near[$b] <=> $near[$a] || $a <=> $b } 0 .. $#near)[0 .. 4];
}

my @a = rows($ARGV[0]);
my @b = rows($ARGV[1]);
my @ask_a = rows($ARGV[2]);
my @ask_b = rows($ARGV[3]);
die "other numbers of vectors\n" if @a != @b || @ask_a != @ask_b || !@ask_a;
my $same = 0;
for my $i (0 .. $#ask_a) {
    my %of_a = map { $_ => 1 } nearest($ask_a[$i], \@a);
    $same += grep { $of_a{$_} } nearest($ask_b[$i], \@b);
}
printf "%.5f %.1f\n", min(map { product($a[$_], $b[$_]) } 0 .. $#a), 100 * $same / (5 * @ask_a);
