#!/usr/bin/perl
# mutate.pl -- programs with one mistake, made at random: what does the compiler say?    perl mutate.pl COUNT FIRST FILE.mdl...
#
# Of each file COUNT mutants, numbered from FIRST: a token is left out, doubled, swapped with the next or replaced by another of the
# file; a number is replaced by an extreme one; the file ends in the middle. Each is checked in a copy of the file's folder. The compiler
# must end by itself, soon, with status 0 and no error, or with 1 and one to twenty errors, each at a place inside a file (or with no
# place, where the sentence names one: a file, an option). A mutant is the same on every machine: the number of a mutant is its seed.
#
# Prints what is not so, with the program's changed line; `perl mutate.pl 1 NUMBER FILE.mdl --show` prints the mutant.
use strict;
use warnings;
use File::Basename;
use File::Temp;

my $show = @ARGV && $ARGV[-1] eq '--show' ? pop @ARGV : 0;
my ($count, $first, @files) = @ARGV;
my ($faults, $mutants, %codes) = (0, 0);
my $cpu_seconds = 20;

sub slurp {
    open my $in, '<:raw', $_[0] or die "$_[0]: $!";
    local $/;
    return scalar <$in>;
}

# Text between tokens (white space, comments) belongs to the token behind it.
sub tokens {
    my ($text) = @_;
    my @tokens;
    while ($text =~ m{\G((?:\s+|//[^\n]*|/\*.*?\*/)*)("(?:[^"\\\n]|\\.)*"|[A-Za-z_]\w*|\d[\w]*(?:\.\d\w*)?|\|>|\.\.\.|\.\.|->|[=!<>]=|&&|\|\||\*\*|.)}gs) {
        push @tokens, [$1, $2];
    }
    return @tokens;
}

sub mutate {
    my ($text) = @_;
    my @t = tokens($text);
    my $i = int rand(@t - 1);
    my $kind = int rand 8; # the last two kinds mostly parse: twice as often
    my $line = () = join('', map { $_->[0] . $_->[1] } @t[0 .. $i]) =~ /\n/g;
    if ($kind == 0) { splice @t, $i, 1 }
    elsif ($kind == 1) { splice @t, $i, 0, [' ', $t[$i][1]] }
    elsif ($kind == 2) { @t[$i, $i + 1] = @t[$i + 1, $i] }
    elsif ($kind == 3 || $kind == 6) {
        my @same = grep { ($_->[1] =~ /^\w/) == ($t[$i][1] =~ /^\w/) } @t;
        $t[$i] = [$t[$i][0], $same[rand @same][1]];
    } elsif ($kind == 4 || $kind == 7) {
        my @numbers = grep { $t[$_][1] =~ /^\d/ } 0 .. $#t;
        my @extreme = ('0', '1', '7', '-1', '2147483648', '9223372036854775807', '1e308', '0.5', '""', 'none', 'true');
        $t[$numbers[rand @numbers]][1] = $extreme[rand @extreme] if @numbers;
    } else { return (substr($text, 0, int rand length $text), -1) }
    return (join('', map { $_->[0] . $_->[1] } @t), $line);
}

sub judge {
    my ($status, $out) = @_;
    return "ended with signal " . ($status & 127) if $status & 127;
    $status >>= 8;
    return "status $status" if $status > 1;
    my $errors = () = $out =~ /^error\[/mg;
    return "status $status with $errors errors" if $status ? $errors < 1 || $errors > 20 : $errors;
    return 'a fault of the compiler' if $out =~ /Sanitizer|runtime error:|fault of the compiler/;
    while ($out =~ /^(?:error|warning)\[(\w+)\]: (.*)\n(.*)/mg) {
        my ($code, $sentence, $next) = ($1, $2, $3);
        $codes{$code}++;
        if ($next !~ /^ *--> (.*):(\d+):(\d+)$/) {
            next if $code =~ /^E(0003|0105|0108|0615)$/ || $code eq 'W0614';
            return "$code without a place";
        }
        my ($name, $row, $column) = ($1, $2, $3);
        my @lines = split /\n/, slurp($name), -1;
        return "$code at line $row of " . @lines if $row < 1 || $row > @lines;
        return "$code at column $column of " . length $lines[$row - 1] if $column < 1 || $column > 1 + length $lines[$row - 1];
    }
    return '';
}

for my $file (@files) {
    my $text = slurp($file);
    my $folder = File::Temp->newdir();
    my $name = basename($file);
    system('cp', glob(dirname($file) . '/*.mdl'), "$folder/") == 0 or die 'cp';
    my $here = $ENV{PWD};
    chdir $folder or die;
    for my $number ($first .. $first + $count - 1) {
        srand($number * 1009 + length $text);
        my ($mutant, $line) = mutate($text);
        if ($show) { print $mutant; next }
        open my $to, '>:raw', $name or die; print $to $mutant; close $to;
        my $out = `ulimit -t $cpu_seconds; modelc check $name 2>&1`;
        my $fault = judge($?, $out);
        $mutants++;
        next unless $fault;
        $faults++;
        print "$name $number: $fault\n";
        print '    ', (split /\n/, $mutant, -1)[$line], "\n" if $line >= 0;
        print map { "    $_\n" } grep { $_ } (split /\n/, $out)[0 .. 5];
    }
    chdir $here;
}
print "$mutants mutants, $faults faults\n" unless $show;
print STDERR scalar(keys %codes), ' codes: ', join(' ', map { "$_ $codes{$_}" } sort keys %codes), "\n" if $ENV{CODES};
