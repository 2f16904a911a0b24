# requantize.pl FOLDER RESULT.npy -- what chain of requantize.mdl must give: sums of codes, as f32, times an f32, rounded to the nearest
# multiple of 2^-16 of a code, halves to even; then whole numbers, and a code, halves up. Prints how many codes agree.
use strict;
use warnings;
use POSIX qw(floor);

sub array { # the f32 of FILE.npy
    open my $file, '<:raw', $_[0] or die "$_[0]: $!";
    local $/;
    my $bytes = <$file>;
    return unpack 'f<*', substr $bytes, 10 + unpack 'v', substr $bytes, 8, 2;
}

sub f32 { return unpack 'f', pack 'f', $_[0] }
sub least { return $_[0] < $_[1] ? $_[0] : $_[1] }
sub within { my ($x, $low, $high) = @_; return $x < $low ? $low : $x > $high ? $high : $x }

sub round_even {
    my $x = shift;
    my $floor = floor($x);
    my $rest = $x - $floor;
    return $floor + ($rest > 0.5 || ($rest == 0.5 && $floor % 2) ? 1 : 0);
}

sub multiplier { return f32(within(f32($_[0]), -1e30, 1e30)) }

sub scaled { # sum * m: products of two f32 are exact before they are rounded once
    my ($sum, $m) = @_;
    return round_even(within(f32(f32($sum) * $m), -2 ** 30 + 64, 2 ** 30 - 64));
}

sub code { # v / 2^16 + zero
    my ($v, $zero) = @_;
    return within(floor(($v + 2 ** 15) / 2 ** 16) + $zero, -128, 127);
}

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
