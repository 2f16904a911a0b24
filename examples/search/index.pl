# index.pl -- a .npy of f32 as the tensor `vectors` of a .safetensors:   perl index.pl IN.npy OUT.safetensors
use strict;
use warnings;

open my $in, '<:raw', $ARGV[0] or die "$ARGV[0]: $!\n";
read $in, my $begin, 10;
read $in, my $head, unpack('x8 v', $begin);
$head =~ /'<f4'.*'shape': \((\d+), (\d+),?\)/ or die "$ARGV[0]: not f32 of two axes\n";
my $json = sprintf '{"vectors":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,%d]}}', $1, $2, 4 * $1 * $2;
$json .= ' ' x (-length($json) % 8);
open my $out, '>:raw', $ARGV[1] or die "$ARGV[1]: $!\n";
print $out pack('Q<', length $json), $json, do { local $/; <$in> };
close $out or die "$ARGV[1]: $!\n";
