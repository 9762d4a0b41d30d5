#!/usr/bin/perl
# The second program: prints what /proc says of some processes, every so often, and shares no line with byre.
# proc-truth.pl INTERVAL_MS PID... -> lines "EPOCH_MS PID CPU_TICKS RSS_KB", after one line with the ticks per second.
use strict;
use warnings;
use POSIX ();
use Time::HiRes qw(time sleep);

$| = 1;
my ($interval, @pids) = @ARGV;
print POSIX::sysconf(POSIX::_SC_CLK_TCK()), "\n";
while (1) {
  for my $pid (@pids) {
    my $at = time * 1000;
    open(my $stat, '<', "/proc/$pid/stat") or next;
    my $text = do { local $/; <$stat> };
    $text =~ s/^.*\)//s;
    my @field = split ' ', $text;    # from field 3 on
    open(my $rollup, '<', "/proc/$pid/smaps_rollup") or next;
    my ($rss) = map { /^Rss:\s+(\d+) kB/ ? $1 : () } <$rollup>;
    next unless defined $rss;
    printf "%.1f %d %d %d\n", $at, $pid, $field[11] + $field[12], $rss;
  }
  sleep $interval / 1000;
}
