# pool.pl FOLDER MEAN.npy WINDOWS.npy MANY.npy RANGES.json -- what exact of pool.mdl must give for x.npy of the folder: sums of codes less their zeros, as
# f32, times an f32, rounded to the nearest multiple of 2^-16 of a code, halves to even; then a code, halves up. Prints how many codes agree.
use strict;
use warnings;
use FindBin;
require "$FindBin::Bin/codes.pl";

sub step { # scale and zero point of a range of the file
    my ($text, $name) = @_;
    my ($lo, $hi) = $text =~ /"\Q$name\E": *\{"lo": *([-+.e\d]+), *"hi": *([-+.e\d]+)/ or die $name;
    my $t = f32(f32(f32($hi) - f32($lo)) / 255);
    return ($t, within(round_even(f32(-f32($lo) / $t)) - 128, -128, 127));
}

my ($folder, $mean, $windows, $many, $ranges) = @ARGV;
open my $file, '<', $ranges or die;
my $text = join '', <$file>;
my @x = array("$folder/x.npy");
my ($same, $inside, $all) = (0, 0, 0);

sub check {
    my ($got, $sum, $share, $layer) = @_;
    my ($t2, $z2) = step($text, "exact.$layer.pooled");
    my ($t3, $z3) = step($text, "exact.$layer.input");
    my $u = code(scaled($sum, multiplier($t2 * $share * (65536 / $t3))), $z3);
    my $y = f32(f32(127 * ($u - $z3)) * $t3); # 127 * u less its zero, times 1, times the scale
    $all++;
    $same++ if $got == $y;
    $inside++ if $got == $y && abs($u) < 127;
    print "$got, not $y\n" if $got != $y && $all - $same < 4;
}

# size, stride and frame of square windows, how many there are each way
for (['whole', $mean], ['taps', $windows, 3, 2, 1, 3], ['many', $many, 9, 3, 4, 2]) {
    my ($layer, $file, $size, $stride, $pad, $n) = @$_;
    my ($t1, $z1) = step($text, "exact.one.input");
    my ($t2, $z2) = step($text, "exact.$layer.pooled");
    my $m = multiplier($t1 * (65536 / $t2));
    my @u = map { code(scaled(127 * (within(round_even(f32($_ * f32(1 / $t1))) + $z1, -128, 127) - $z1), $m), $z2) - $z2 } @x;
    my @got = array($file);
    for my $plane (0 .. 20) {
        my $at = sub { my ($i, $j) = @_; return $i < 0 || $i > 4 || $j < 0 || $j > 5 ? 0 : $u[30 * $plane + 6 * $i + $j] };
        my $sum = 0;
        $sum += $u[30 * $plane + $_] for 0 .. 29;
        check($got[$plane], $sum, 1 / 30, $layer) if !$size;
        for my $place ($size ? (0 .. $n * $n - 1) : ()) {
            my ($top, $left) = ($stride * int($place / $n) - $pad, $stride * ($place % $n) - $pad);
            $sum = 0;
            $sum += $at->($top + int($_ / $size), $left + $_ % $size) for 0 .. $size * $size - 1;
            check($got[$n * $n * $plane + $place], $sum, 1 / ($size * $size), $layer);
        }
    }
}
print "$same of $all codes are right, $inside inside of the limits\n";
