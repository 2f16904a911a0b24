# pairs.pl -- letters to a shop and their answers, made from templates with names, orders, things and dates: the same ones every time.
#   perl pairs.pl FOLDER [PAIRS]    PAIRS (4,000) go to FOLDER/train.csv, a tenth as many more to FOLDER/test.csv, no letter in both
# A table has one column, text: "question TAB answer NEWLINE".
use strict;
use warnings;

my ($folder, $pairs) = ($ARGV[0], $ARGV[1] // 4000);
srand 1; # perl's own generator: alike on every machine

my @names = qw(Aaron Abel Adam Agnes Alma Amos Anna Asher Basil Cora Dan David Dinah Edith Eli Emma Enoch Ester Eva Ezra Felix Frida Gad Grace
    Hannah Hugo Ida Iris Isaac Ivan Jacob James Jane Joel John Jonas Joseph Julia Karl Laban Leah Levi Lily Lucas Luke Magda Mark Martha Mary Micah
    Miriam Moses Nadia Nathan Noah Nora Olga Oscar Otto Paul Peter Philip Rachel Rosa Ruth Samuel Sarah Saul Seth Simon Stella Tamar Thomas Titus
    Uri Vera Victor Walter Xenia Yara Zara);
my %days = (book => 14, lamp => 30, coat => 60, chair => 30, kettle => 90, mirror => 30, carpet => 60, tent => 90, clock => 14, kite => 14);
my @things = sort keys %days;
my @months = qw(January February March April May June July August September October November December);

# N name, O order, T thing, D date, R days for the return of the thing
my @kinds = (
    [['Where is order O? N', 'I am N. When does order O come?', 'N here: is order O on its way?'],
        'Dear N, order O is on its way.'],
    [['Please cancel order O. N', 'I am N, I do not want order O any more.', 'N here: stop order O.'],
        'Dear N, order O is cancelled.'],
    [['The T of order O is broken. N', 'N here: order O came with a broken T.'],
        'Dear N, we are sorry. A new T for order O leaves today.'],
    [['May I give the T back? N', 'I am N. How long can I return a T?', 'N here: can you take back my T?'],
        'Dear N, a T can be returned for R days.'],
    [['Can you bring order O on D? N', 'I am N. I am at home on D, bring order O then.'],
        'Dear N, order O comes on D.'],
    [['I need the bill of D. N', 'N here: where is my bill of D?'],
        'Dear N, the bill of D is in your mail.'],
);

sub one { $_[int rand @_] }

my (%seen, @rows);
while (@rows < $pairs + $pairs / 10) {
    my $kind = one(@kinds);
    my $thing = one(@things);
    my %fill = (N => one(@names), O => 10000 + int rand 90000, T => $thing, R => $days{$thing}, D => (1 + int rand 28) . ' ' . one(@months));
    my $row = one(@{ $kind->[0] }) . "\t" . $kind->[1] . "\n";
    $row =~ s/\b([NOTRD])\b/$fill{$1}/g;
    push @rows, $row unless $seen{$row}++;
}
for (['test.csv', 0, $pairs / 10 - 1], ['train.csv', $pairs / 10, $#rows]) {
    my ($name, $from, $to) = @$_;
    open my $f, '>', "$folder/$name" or die "$folder/$name: $!\n";
    print $f "text\n", map qq("$_"\n), @rows[$from .. $to];
    close $f or die "$folder/$name: $!\n";
}
