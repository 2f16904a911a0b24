# npy.pl FILE TYPE SHAPE VALUE... -- writes a .npy file: TYPE <f4 <f8 <i4 <i8 |u1 |b1, SHAPE 2,3. Numbers are repeated to fill it.
use strict;
my ($file, $type, $shape, @values) = @ARGV;
my %pack = ('<f4' => 'f<', '<f8' => 'd<', '<i4' => 'l<', '<i8' => 'q<', '|u1' => 'C', '|b1' => 'C', '>i4' => 'l>');
my $count = 1;
$count *= $_ for split /,/, $shape;
my $dict = "{'descr': '$type', 'fortran_order': False, 'shape': ($shape,), }";
$dict .= ' ' x (-(length($dict) + 11) % 64) . "\n";
open my $f, '>:raw', $file or die;
print $f "\x93NUMPY\x01\x00", pack('v', length $dict), $dict;
print $f pack($pack{$type}, $values[$_ % @values]) for 0 .. $count - 1;
close $f or die;
