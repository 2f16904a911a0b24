# hostile.pl FOLDER -- writes safetensors files that are wrong in one way each, NN_name.safetensors, and one that is right. They are for
# the model small.mdl: net.weight f32[4, 3], net.bias f32[4].
use strict;
my $folder = $ARGV[0];
my $count = 0;

sub file { # name, header, bytes of data, length of the header where it lies
    my ($name, $header, $bytes, $length) = @_;
    $length = length $header unless defined $length;
    open my $f, '>:raw', sprintf('%s/%02d_%s.safetensors', $folder, $count++, $name) or die;
    print $f pack('Q<', $length), $header, "\0" x $bytes;
    close $f or die;
}

sub tensor { # name, dtype, shape, begin, end
    my ($name, $dtype, $shape, $begin, $end) = @_;
    return qq("$name":{"dtype":"$dtype","shape":[$shape],"data_offsets":[$begin,$end]});
}

my $weight = tensor('net.weight', 'F32', '4,3', 0, 48);
my $bias = tensor('net.bias', 'F32', '4', 48, 64);
file('right', "{$weight,$bias}", 64);
open my $f, '>', sprintf('%s/%02d_empty.safetensors', $folder, $count++) or die;
close $f;
file('length_2_63', "{$weight,$bias}", 64, 1 << 63);
file('length_all', "{$weight,$bias}", 64, ~0);
file('length_more_than_file', "{$weight,$bias}", 64, 1000);
file('length_in_the_middle', "{$weight,$bias}", 64, 40);
file('length_0', "{$weight,$bias}", 64, 0);
file('truncated_data', "{$weight,$bias}", 40);
file('surplus_data', "{$weight,$bias}", 80);
file('hole', "{$weight," . tensor('net.bias', 'F32', '4', 52, 68) . '}', 68);
file('overlap', "{$weight," . tensor('net.bias', 'F32', '4', 40, 56) . '}', 56);
file('outside', "{$weight," . tensor('net.bias', 'F32', '4', 4096, 4112) . '}', 64);
file('backwards', "{$weight," . tensor('net.bias', 'F32', '4', 64, 48) . '}', 64);
file('negative', "{$weight," . tensor('net.bias', 'F32', '4', -16, 0) . '}', 64);
file('offset_2_63', "{$weight," . tensor('net.bias', 'F32', '4', '9223372036854775808', '9223372036854775824') . '}', 64);
file('shape_overflow', "{$weight," . tensor('net.bias', 'F32', '4611686018427387904,4', 48, 64) . '}', 64);
file('shape_negative', "{$weight," . tensor('net.bias', 'F32', '-4', 48, 64) . '}', 64);
file('shape_fraction', "{$weight," . tensor('net.bias', 'F32', '4.0', 48, 64) . '}', 64);
file('shape_9_axes', "{$weight," . tensor('net.bias', 'F32', '1,1,1,1,1,1,1,1,4', 48, 64) . '}', 64);
file('bytes_of_shape', "{$weight," . tensor('net.bias', 'F32', '5', 48, 64) . '}', 64);
file('twice', "{$weight," . tensor('net.weight', 'F32', '4', 48, 64) . '}', 64);
file('dtype_unknown', "{$weight," . tensor('net.bias', 'F99', '4', 48, 64) . '}', 64);
file('dtype_other', "{$weight," . tensor('net.bias', 'I32', '4', 48, 64) . '}', 64);
file('dtype_wider', "{$weight," . tensor('net.bias', 'F64', '4', 48, 80) . '}', 80);
file('shape_other', '{' . tensor('net.weight', 'F32', '3,4', 0, 48) . ",$bias}", 64);
file('missing', "{$weight}", 48);
file('surplus', "{$weight,$bias," . tensor('net.scale', 'F32', '4', 64, 80) . '}', 80);
file('misspelt', "{$weight," . tensor('net.bais', 'F32', '4', 48, 64) . '}', 64);
file('key_missing', qq({"net.weight":{"dtype":"F32","shape":[4,3]},$bias}), 64);
file('not_an_object', '[1, 2, 3]', 64);
file('not_json', '{"net.weight": oops}', 64);
file('no_end', qq({$weight,$bias), 64);
file('byte_0', "{$weight,\0$bias}", 64);
file('not_utf8', "{$weight," . tensor("net.\xff\xfe", 'F32', '4', 48, 64) . '}', 64);
file('text_behind', "{$weight,$bias} and more", 64);
file('deep', '{"net.weight":' . '[' x 100_000 . ']' x 100_000 . '}', 64);
file('huge', '{' . join(',', map { tensor("t$_", 'F32', '0', 0, 0) } 1 .. 20_000) . '}', 0);
file('metadata', qq({"__metadata__":{"seed":3},$weight,$bias}), 64);
