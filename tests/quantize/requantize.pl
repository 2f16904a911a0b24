# requantize.pl FOLDER RESULT.npy -- what chain of requantize.mdl must give: sums of codes, as f32, times an f32, rounded to the nearest
# multiple of 2^-16 of a code, halves to even; then whole numbers, and a code, halves up. Prints how many codes agree.
use strict;
use warnings;
use FindBin;
require "$FindBin::Bin/codes.pl";

my ($folder, $result) = @ARGV;
my ($scale1, $zero1, $scale2, $zero2) = (f32(191.25 / 255), -128, 1, -28);
my @x = array("$folder/0/x.npy");
my ($w, $w2, $gain, $shift) = map { [array("$folder/1/$_.npy")] } qw(w w2 gain shift);
my @got = array($result);
my ($same, $inside) = (0, 0);
for my $r (0 .. 6) {
    my @u;
    for my $c (0 .. 32) {
        my $m = multiplier($gain->[$c] / $scale1 * 65536);
        my $offset = round_even(within($shift->[$c] / $scale1 * 65536, -2 ** 29, 2 ** 29));
        my $sum = 0;
        $sum += $w->[40 * $c + $_] * $x[40 * $r + $_] for 0 .. 39;
        my $v = scaled($sum, $m) + $offset;
        push @u, code($v < 0 ? 0 : $v, $zero1);
    }
    for my $c (0 .. 32) {
        my $m = multiplier($gain->[$c] * $scale1 / 4 / $scale2 * 65536);
        my ($sum, $codes) = (0, 0);
        $sum += $w2->[33 * $c + $_] * $u[$_] for 0 .. 32;
        $codes += $w2->[33 * $c + $_] for 0 .. 32;
        my $k = round_even($scale1 / $scale2 * 65536);
        my $offset = round_even(within($shift->[$c] / 4 / $scale2 * 65536 - $codes * $zero1 * $m - $zero1 * $k, -2 ** 29, 2 ** 29));
        my $v = scaled($sum, $m) + $u[$c] * $k + $offset;
        my $code = code(within($v, round_even(-90 * 65536), round_even(f32(120.2) * 65536)), $zero2);
        my $read = $got[33 * $r + $c] / 127 / $scale2 + $zero2;
        $inside++ if $code > -118 && $code < 92;
        if ($read == $code) { $same++ }
        else { print "row $r channel $c: $read, not $code\n" }
    }
}
print "$same codes are right, $inside inside of the limits\n";
