# words.pl VERSES QUESTIONS -- how many of the questions a search by shared words answers: the cosine of the words of a question and of a verse,
# each word weighing the more the fewer verses have it (Salton's tf-idf), endings left out. What a search by meaning is compared with.
use strict;
use warnings;

# Each stem of a text and how often it is there.
sub stems {
    my %n;
    for (lc($_[0]) =~ /[a-z]+/g) { s/(?:ing|eth|est|ed|es|s)$// if length > 4; $n{$_}++ }
    return \%n;
}

open my $f, '<', $ARGV[0] or die "$ARGV[0]: $!\n";
my (@name, @verse, %verses_with);
while (<$f>) {
    my ($name, $text) = split ' ', $_, 2;
    push @name, $name;
    push @verse, stems($text);
    $verses_with{$_}++ for keys %{$verse[-1]};
}
my %weight = map { $_ => log(@verse / $verses_with{$_}) } keys %verses_with;

sub scaled {
    my ($n) = @_;
    my %v = map { $_ => (1 + log $n->{$_}) * $weight{$_} } grep { $weight{$_} } keys %$n;
    my $length = 0;
    $length += $_ ** 2 for values %v;
    $_ /= sqrt($length) || 1 for values %v;
    return \%v;
}
$_ = scaled($_) for @verse;

my $found = 0;
open my $q, '<', $ARGV[1] or die "$ARGV[1]: $!\n";
while (<$q>) {
    chomp;
    my ($question, $wanted) = split /\|/;
    my %wanted = map { $_ => 1 } split ' ', $wanted;
    my $asked = scaled(stems($question));
    my @score = map { my ($v, $sum) = ($_, 0); $sum += $asked->{$_} * ($v->{$_} // 0) for keys %$asked; $sum } @verse;
    my @best = (sort { $score[$b] <=> $score[$a] || $a <=> $b } 0 .. $#verse)[0 .. 4];
    $found++ if grep { $wanted{$name[$_]} } @best;
}
print "$found\n";
