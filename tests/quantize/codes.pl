# codes.pl -- numbers as quantized code computes with them, for what checks it apart (pool.pl, requantize.pl).
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

1;
