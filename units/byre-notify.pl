#!/usr/bin/perl
# byre-notify.pl COMMAND...: executes COMMAND with the service manager's notification socket open as descriptor
# $SD_NOTIFY_FD. Node cannot open a datagram Unix socket; perl-base is part of every Debian. The process keeps its pid,
# so messages come from the unit's main process. If the socket cannot be opened, a warning is printed and COMMAND runs
# without it.
use strict;
use warnings;
use Socket qw(AF_UNIX SOCK_DGRAM pack_sockaddr_un);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);

$^F = 255;    # keep descriptors open over exec
delete $ENV{SD_NOTIFY_FD};
my $address = $ENV{NOTIFY_SOCKET} // '';
my $socket;
if ($address =~ m{^[/@]}) {
    $address =~ s/^\@/\0/;    # '@' denotes an abstract socket
    if (socket($socket, AF_UNIX, SOCK_DGRAM, 0) && connect($socket, pack_sockaddr_un($address))) {
        my $flags = fcntl($socket, F_GETFL, 0);
        fcntl($socket, F_SETFL, $flags | O_NONBLOCK);    # a busy service manager must not block node's loop
        $ENV{SD_NOTIFY_FD} = fileno $socket;
    }
    else { warn "byre-notify.pl: cannot connect to $ENV{NOTIFY_SOCKET}: $!\n" }
}
die "usage: byre-notify.pl COMMAND...\n" unless @ARGV;
no warnings 'exec';
exec { $ARGV[0] } @ARGV;
warn "byre-notify.pl: cannot run $ARGV[0]: $!\n";
exit 127;
