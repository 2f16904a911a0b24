#!/usr/bin/perl
# ops.pl -- what the tests know about each operation: the table in tests/README.md.      perl ops.pl [--write]
#
# Runs the tests that say which operations they have seen (tests/seen.h) and compares the table with what they say; --write puts
# the new one into the page. An empty cell is a hole, and a fault:
#
#     shape       refusals: operands and attributes that do not fit (tests/ir/infer.c); types: the verifier compares the written
#                 type of a result with the inferred one (tests/ir/eval.c)
#     meaning     values of the interpreter (tests/ir/eval.c); mark: gone before anything runs
#     gradient    against finite differences (tests/ir/grad.c), or the reason of ir/op.c why there is none
#     CPU         kernels compared with the interpreter (tests/schedule, the programs of frontend/INTRINSICS.md); data: no code of
#                 its own; else the pass that replaces it, where codegen does not know it
#
# Environment: ROOT, BUILD, modelc on the PATH.
use strict;
use warnings;
use File::Temp;

$| = 1;
my ($root, $build) = @ENV{qw(ROOT BUILD)};
my $notes = File::Temp->new();
$ENV{SEEN} = "$notes";
for my $test (qw(ir/coverage ir/infer ir/eval ir/grad schedule/ops schedule/views schedule/contract schedule/fuzz),
              'schedule/windows 1 12') {
    system("$build/tests/$test") == 0 or die "$test fails\n";
}
system("perl $root/tests/explain/pages.pl $root/frontend/INTRINSICS.md") == 0 or die "the programs of INTRINSICS.md fail\n";
delete $ENV{SEEN};

my (@ops, %seen);
open my $f, '<', "$notes" or die $!;
while (<$f>) {
    my ($how, $op, $rest) = /^(\w+) (\w+) ?(.*)$/ or die "what is $_";
    push @ops, $op if $how eq 'row';
    $seen{$how}{$op} = $rest eq '' ? 1 : $rest;
}
close $f;

# The passes that name an operation, if no code does.
sub replaced_by {
    my $name = 'OP_' . uc $_[0];
    return '' if `grep -rlw $name $root/codegen --include='*.c' --exclude=target.c` ne '';
    return join ', ', map { m{([^/]+)\.c$} } split /\n/, `grep -lw $name $root/passes/*.c`;
}

my ($holes, $table) = (0, "| op | shape | meaning | gradient | CPU |\n|---|---|---|---|---|\n");
for my $op (@ops) {
    my $reason = $seen{reason}{$op} // '';
    my $mark = $reason =~ /by the pass|expanded/ && !$seen{meaning}{$op} || $op eq 'custom';
    my @cells = ($seen{shape}{$op} ? 'refusals' : $seen{meaning}{$op} || $mark ? 'types' : '',
                 $seen{meaning}{$op} ? 'values' : $mark ? 'mark' : '',
                 $reason ne '' ? $reason : $seen{gradient}{$op} ? 'differences' : '',
                 $seen{code}{$op} ? 'kernels' : $seen{leaf}{$op} ? 'data' : replaced_by($op));
    $holes += grep { $_ eq '' } @cells;
    $table .= "| `$op` | " . join(' | ', @cells) . " |\n";
}

my $page = "$root/tests/README.md";
open $f, '<', $page or die "$page: $!";
my $text = do { local $/; <$f> };
close $f;
my ($old) = $text =~ /^(\| op \|.*\n(?:\|.*\n)*)/m or die "$page has no table\n";
if (@ARGV && $ARGV[0] eq '--write') {
    $text =~ s/\Q$old\E/$table/;
    open $f, '>', $page or die $!;
    print $f $text;
    close $f;
} elsif ($old ne $table) {
    my %lines = map { $_ => 1 } split /\n/, $old;
    print "the table of tests/README.md is old; perl tests/ops.pl --write makes it new:\n";
    print map { "$_\n" } grep { !$lines{$_} } split /\n/, $table;
}
print "operations: ", scalar(@ops), ", holes: $holes\n";
exit($holes || $old ne $table && !@ARGV ? 1 : 0);
