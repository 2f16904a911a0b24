# flip.pl WEIGHTS NAME LIBRARY: the first element of a tensor, where the library has it, times or by four
use strict; local $/;
my ($weights, $name, $library) = @ARGV;
open my $w, '<:raw', $weights or die; my $file = <$w>;
my $n = unpack 'Q<', $file;
substr($file, 8, $n) =~ /"\Q$name\E":\{[^}]*"data_offsets":\[(\d+),(\d+)\]/ or die;
my $bytes = substr $file, 8 + $n + $1, $2 - $1;
open my $l, '+<:raw', $library or die; my $all = <$l>;
my $at = index $all, $bytes; die if $at < 0 || index($all, $bytes, $at + 1) >= 0;
seek $l, $at + 3, 0; print $l chr(ord(substr $bytes, 3, 1) ^ 1);
