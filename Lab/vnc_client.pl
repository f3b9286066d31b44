# A VNC client that does what its standard input says, a line a time, and answers each with a line.
#
#   capture FILE    writes the screen as a PNG file
#   type TEXT       types letters, digits and signs that need no Shift, then Enter
use strict;
use warnings;
use Net::VNC;

my ($host, $port, $password) = @ARGV;
my $vnc = Net::VNC->new({hostname => $host, port => $port, password => $password});
$vnc->depth(24);
$vnc->login;
$| = 1;
print "ready ", $vnc->name, "\n";
while (my $line = <STDIN>) {
    chomp $line;
    my ($command, $argument) = split / /, $line, 2;
    if ($command eq 'capture') {
        $vnc->capture->save($argument);
    } elsif ($command eq 'type') {
        $vnc->send_key_event(ord $_) for split //, $argument;
        $vnc->send_key_event(0xff0d);
    } else {
        die "unknown command $command\n";
    }
    print "done\n";
}
