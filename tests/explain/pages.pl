#!/usr/bin/perl
# pages.pl -- do the pages of `modelc explain` tell the truth?      perl pages.pl [--fill] PAGE.md...
#
# A page (frontend/explain/E0204.md) is text and blocks between lines of three backquotes:
#
#     wrong [OPTIONS]     a program; `modelc check OPTIONS model.mdl` must report the page's code
#     message             what it prints, to the letter
#     right [OPTIONS]     the program repaired: checks without a word
#     shell               a command behind `$ ` and what it prints: for codes that no small program shows
#
# Where the options hold -o, a library is made instead of a check. The files beside the programs are those of tests/explain/files.
# Prints what is not so; --fill writes the true outputs into the pages instead. Runs in an empty folder of its own.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use File::Copy;
use File::Temp;

my $fill = @ARGV && $ARGV[0] eq '--fill' ? shift @ARGV : 0;
my @pages = map { abs_path($_) } @ARGV;
my $files = dirname($0) . '/files';
my $folder = File::Temp->newdir();
copy($_, $folder) or die "$_: $!" for glob("$files/*");
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

# Runs the compiler on a program: what it printed.
sub compile {
    my ($program, $options) = @_;
    open my $f, '>', 'model.mdl' or die $!;
    print $f $program;
    close $f;
    $programs++;
    return output(($options =~ /(^| )-o / ? 'modelc' : 'modelc check') . " $options model.mdl");
}

# The true content of one block, where it prints; the facts of all blocks go into %$seen.
sub block {
    my ($kind, $options, $body, $code, $seen) = @_;
    if ($kind eq 'wrong') {
        $seen->{wrong} = compile($body, $options);
        my $status = $?;
        fault("the wrong program does not give $code, but\n$seen->{wrong}") if $seen->{wrong} !~ /^(error|warning)\[$code\]/m;
        my %others = map { $_ => 1 } grep { $_ ne $code } $seen->{wrong} =~ /^(?:error|warning)\[(\w+)\]/mg;
        fault("the wrong program gives other codes: " . join(' ', sort keys %others)) if %others;
        fault("the wrong program passes") if $code =~ /^E/ && $status == 0;
    } elsif ($kind eq 'right') {
        my $text = compile($body, $options);
        $seen->{right} = 1;
        fault("the right program does not pass:\n$text") if $? || $text ne '';
    } elsif ($kind eq 'message') {
        fault("a message without a wrong program") if !defined $seen->{wrong};
        fault("the message is\n$seen->{wrong}") if !$fill && $body ne $seen->{wrong};
        return $seen->{wrong};
    } elsif ($kind eq 'shell') {
        my ($command) = $body =~ /^\$ (.*)$/m or return fault("no command in shell") || $body;
        my $text = output($command);
        $seen->{shell} = 1;
        fault("the command does not give $code, but\n$text") if $text !~ /^(error|warning)\[$code\]/m;
        fault("the command prints\n$text") if !$fill && $body ne "\$ $command\n$text";
        return "\$ $command\n$text";
    } else {
        fault("what is a block `$kind`?");
    }
    return $body;
}

for my $path (@pages) {
    ($page) = fileparse($path, '.md');
    my $text = file_read($path);
    my %seen;
    $text =~ s{^```(\w+) *(.*)\n((?:.*\n)*?)```\n}{
        my ($kind, $options, $body) = ($1, $2, $3);
        "```$kind" . ($options ne '' ? " $options" : '') . "\n" . block($kind, $options, $body, $page, \%seen) . "```\n"
    }gme;
    fault("neither a wrong and a right program nor a command") if !$seen{shell} && !(defined $seen{wrong} && $seen{right});
    if ($fill) {
        open my $f, '>', $path or die "$path: $!";
        print $f $text;
        close $f;
    }
}
print "pages: ", scalar(@pages), ", programs: $programs, faults: $faults\n";
chdir '/';
exit($faults ? 1 : 0);
