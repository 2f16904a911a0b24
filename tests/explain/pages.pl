#!/usr/bin/perl
# pages.pl -- do the pages of `modelc explain` and of the reference tell the truth?      perl pages.pl [--fill] PAGE.md...
#
# A page is text and blocks between lines of three backquotes:
#
#     wrong [OPTIONS]     a program that `modelc check OPTIONS model.mdl` must complain about
#     message             what it prints, to the letter
#     right [OPTIONS]     a program that checks without a word
#     file NAME           a file beside the programs that follow
#     shell               commands behind `$ ` and what they print; `modelc run` must print the same with --interpret
#     c                   and blocks without a name: text
#
# Where the options hold -o, a library is made instead of a check. Beside the programs: tests/explain/files, tests/errors/bad, examples.
#
# A page named after a code (frontend/explain/E0204.md) shows a wrong program with that code and no other, and it repaired; or a
# command that prints the code, for what no small program shows. Any other page is a reference (frontend/LANGUAGE.md): each section
# with text has a right program, a wrong one or a command, and the function of each row of a table, | `name(...)` |, is called in
# a program of the section.
# Prints what is not so; --fill writes the true outputs into the pages instead. Runs in an empty folder of its own.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use File::Copy;
use File::Temp;

my $fill = @ARGV && $ARGV[0] eq '--fill' ? shift @ARGV : 0;
my @pages = map { abs_path($_) } @ARGV;
my $tests = dirname(dirname(abs_path($0)));
my $folder = File::Temp->newdir();
copy($_, $folder) or die "$_: $!" for glob("$tests/explain/files/* $tests/errors/bad/*.mdl $tests/errors/bad/*.safetensors $tests/../examples/*.mdl");
chdir $folder or die;

my ($faults, $programs, $page) = (0, 0, '');
sub fault {
    print "$page: $_[0]\n";
    $faults++;
}

sub file_read {
    open my $f, '<', $_[0] or die "$_[0]: $!";
    local $/;
    return <$f>;
}

# Runs a command in the folder; both outputs together, the status in $?.
sub output {
    my $text = `{ $_[0]\n} 2>&1 </dev/null`;
    return $text;
}

sub file_write {
    open my $f, '>', $_[0] or die "$_[0]: $!";
    print $f $_[1];
    close $f;
}

# Runs the compiler on a program: what it printed.
sub compile {
    my ($program, $options) = @_;
    file_write('model.mdl', $program);
    $programs++;
    return output(($options =~ /(^| )-o / ? 'modelc' : 'modelc check') . " $options model.mdl");
}

# The two outputs of a command come in any order.
sub lines {
    return join "\n", sort split /\n/, $_[0];
}

# Notes the operations of the program at a stage, as tests/seen.h does.
sub operations {
    my ($how, $stage) = @_;
    my %seen = map { $_ => 1 } output("modelc --emit=$stage model.mdl") =~ /^ *%\d+(?:: [^=]*)? = (\w+)/mg;
    open my $f, '>>', $ENV{SEEN} or die $!;
    print $f map { "$how $_\n" } sort keys %seen;
}

# Each command of a block `shell` with what it truly prints.
sub shell {
    my ($body, $seen) = @_;
    my @commands = $body =~ /^\$ (.*)$/mg or fault("no command in shell");
    my $text = '';
    for my $command (@commands) {
        my $printed = output($command);
        $text .= "\$ $command\n$printed";
        next if $command !~ /^modelc run /;
        my $again = output("$command --interpret");
        fault("$command\nprints\n${printed}and with --interpret\n$again") if lines($again) ne lines($printed);
        operations(source => 'graph'), operations(code => 'planned') if $ENV{SEEN} && $command =~ /^modelc run model\.mdl/;
    }
    fault("the commands print\n$text") if !$fill && $body ne $text;
    $seen->{programs}++;
    $seen->{shell} .= $text;
    return $text;
}

# The true content of one block, where it prints; what was seen goes into %$seen.
sub block {
    my ($kind, $options, $body, $seen) = @_;
    if ($kind eq 'wrong') {
        $seen->{wrong} = compile($body, $options);
        $seen->{passes} = $? == 0;
        $seen->{silent}++ if $seen->{wrong} eq '';
    } elsif ($kind eq 'right') {
        my $text = compile($body, $options);
        $seen->{right} = 1;
        fault("the right program does not pass:\n$text") if $? || $text ne '';
    } elsif ($kind eq 'message') {
        fault("a message without a wrong program") if !defined $seen->{wrong};
        fault("the message is\n$seen->{wrong}") if !$fill && $body ne $seen->{wrong};
        return $seen->{wrong};
    } elsif ($kind eq 'file') {
        file_write($options, $body);
    } elsif ($kind eq 'shell') {
        return shell($body, $seen);
    } elsif ($kind ne 'c') {
        fault("what is a block `$kind`?");
    }
    if ($kind =~ /^(wrong|right|file)$/) {
        $seen->{programs}++;
        $seen->{text} .= $body;
    }
    return $body;
}

# The text with the true contents of its blocks.
sub blocks {
    my ($text, $seen) = @_;
    $text =~ s{^```(\w*) *(.*)\n((?:.*\n)*?)```\n}{
        my ($kind, $options, $body) = ($1, $2, $3);
        "```$kind" . ($options ne '' ? " $options" : '') . "\n" . ($kind eq '' ? $body : block($kind, $options, $body, $seen)) . "```\n"
    }gme;
    return $text;
}

# A page about one code.
sub code_page {
    my ($text, $code) = @_;
    my $seen = {shell => '', text => ''};
    $text = blocks($text, $seen);
    if (defined $seen->{wrong}) {
        fault("the wrong program does not give $code, but\n$seen->{wrong}") if $seen->{wrong} !~ /^(error|warning)\[$code\]/m;
        my %others = map { $_ => 1 } grep { $_ ne $code } $seen->{wrong} =~ /^(?:error|warning)\[(\w+)\]/mg;
        fault("the wrong program gives other codes: " . join(' ', sort keys %others)) if %others;
        fault("the wrong program passes") if $code =~ /^E/ && $seen->{passes};
    }
    fault("the commands do not give $code, but\n$seen->{shell}") if $seen->{shell} ne '' && $seen->{shell} !~ /^(error|warning)\[$code\]/m;
    fault("neither a wrong and a right program nor a command") if $seen->{shell} eq '' && !(defined $seen->{wrong} && $seen->{right});
    return $text;
}

# A section of a reference, from its heading on.
sub section {
    my ($text, $seen) = ($_[0], {shell => '', text => '', programs => 0});
    my ($heading, $words) = $text =~ /^(.*)\n\s*((?s:.*))/;
    return $text if $words eq ''; # a chapter that begins with a section
    my $outer = $page;
    $page = "$outer, $heading";
    $text = blocks($text, $seen);
    fault("no program and no command") if !$seen->{programs};
    fault("a wrong program passes without a word") if $seen->{silent};
    for my $cell ($text =~ /^\| (`.*?) \| /mg) {
        $seen->{text} =~ /\b$_\(/ or fault("no program calls $_") for $cell =~ /`(\w+)\(/g;
    }
    $page = $outer;
    return $text;
}

# A page of sections; the first is its title.
sub reference {
    my ($title, @sections) = split /^(?=#{1,2} )/m, $_[0];
    return join '', $title, map { section($_) } @sections;
}

for my $path (@pages) {
    ($page) = fileparse($path, '.md');
    my $text = file_read($path);
    $text = $page =~ /^[EW]\d{4}$/ ? code_page($text, $page) : reference($text);
    file_write($path, $text) if $fill;
}
print "pages: ", scalar(@pages), ", programs: $programs, faults: $faults\n";
chdir '/';
exit($faults ? 1 : 0);
