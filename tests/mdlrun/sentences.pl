# sentences.pl [COUNT [SEED]] -- a table text,n of sentences for tokenizers: verses of the King James Bible, mixed with accents
# (composed and not), other scripts, emoji, numbers, punctuation, white space of all kinds, control characters and marks.
use strict;
use utf8;
binmode STDOUT, ':utf8';
my ($count, $state) = (@ARGV, 1000, 1)[0, @ARGV > 1 ? 1 : @ARGV ? 2 : 1];
sub below { $state = ($state * 1103515245 + 12345) % 2147483648; return int($state / 65536) % $_[0] }

open my $bible, '-|', 'bible', '-f', 'gen1:1-30', 'ps1:1-20:5', 'rom1:1-8:39' or die;
my @verses = map { s/^\S+\s+//r } map { chomp; $_ } <$bible>;
close $bible;
die "no verses" unless @verses > 500;
my @odd = (
    "café", "cafe\x{301}", "naïve façade", "Ångström", "A\x{30a}ngstro\x{308}m", "ÉCOLE", "Übergröße", "straße", "İstanbul ısı", "ŁÓDŹ",
    "Việt Nam", "Phởˆ", "Ελλάδα ΣΟΦΟΣ", "Привет, мир!", "Ёлка Йод", "שָׁלוֹם", "السَّلَامُ عليكم", "नमस्ते", "สวัสดีครับ", "ভাষা",
    "你好，世界。", "我愛tokens", "日本語のテキスト", "カタカナ ｶﾀｶﾅ", "한국어 문장", "𠀀𠜎", "龍馬豈", "〇々「」", "ᠮᠣᠩᠭᠣᠯ\x{180e}ᠠ",
    "😀", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "❤️", "☃ snow", "🏳️‍🌈", "e\x{301}\x{323}\x{302}x", "q\x{307}\x{323}", "\x{1e9b}\x{323}", "ﬁne ﬂow", "Ⅷ ½ ²",
    "1,234.56", "3.14159265", "٣٤٥", "१२३", "12345678901", "v2.0-rc1", "0xFF", "10%", "\$5+3<=>^`|~", "a_b-c", "x=y*z/(w)", "#tag \@you",
    "don't", "I'LL", "we've", "they're", "he's", "I'm", "you'd", "THAT'S", "o'clock", "'tis", "’s it", "rock’n’roll", "\x{17f}'\x{17f}",
    "—", "…", "“quoted”", "«ok»", "¿qué?", "¡no!", "§3", "©®™", "°C", "...", "?!", "--", "!!!", "(([{", "¨", "´", "`", "·",
    "\t", "   ", "\x{a0}", "\x{3000}", "\x{2009}", "\x{2028}", "\n", "\r\n", "\n\n  \n", " \n", "  \t ", "\x{85}",
    "\x{1}", "\x{7f}", "\x{200b}", "\x{200d}", "\x{feff}", "\x{fffd}", "\x{ad}", "\x{e000}", "\x{20dd}", "\x{903}",
    "x" x 99, "y" x 101, "ab" x 60, "é" x 50, "é" x 101, "-" x 40, " " x 30, "antidisestablishmentarianism", "supercalifragilistic",
    "[SEP]", "[MASK]", "[UNK]", "[CLS] ", " [MASK] ", "[mask]", "<|end|>", "<|end", "<|end|><|end|>", "  <|end|>  ", "<extra>", "éa<extra>", "Extra ",
);
print "text,n\n";
for my $n (1 .. $count) {
    my $text = '';
    for (0 .. below(8)) {
        my @words = split / /, $verses[below(scalar @verses)];
        my $from = below(scalar @words);
        $text .= below(3) ? join(' ', @words[$from .. ($from + below(6) < $#words ? $from + below(6) : $#words)]) : $odd[below(scalar @odd)];
        $text .= ('', ' ', ' ', ' ', '  ', ', ')[below(6)];
    }
    $text = $odd[$n - 1] if $n <= @odd; # each alone, too
    $text =~ s/"/""/g;
    print "\"$text\",$n\n";
}
