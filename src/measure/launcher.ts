// The process between byre and the measured command: a short perl script (perl-base is part of every Debian), because Node
// can neither become a subreaper nor read the resource usage of its children. It
// - adopts every orphan of the tree (PR_SET_CHILD_SUBREAPER), so that double-forked processes stay in the tree;
// - moves the command into its cgroup between fork and exec, so that all of its memory is charged there;
// - reports the status of the command and the resource usage of every reaped process (getrusage(2));
// - ends the command when byre itself is killed (PR_SET_PDEATHSIG).
// It writes the lines `ready PID`, `started PID`, `refused WHAT ERRNO TEXT`, `exited STATUS` and `usage ...` to descriptor 4,
// and reads `go FILE...` and `end` from descriptor 3.

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { Outcome } from './result.ts'

export interface Usage {
  readonly userMs: number
  readonly systemMs: number
  /** Highest RSS of a single process, as GNU time prints it. */
  readonly largestRssBytes: number
  readonly minorFaults: number
  readonly majorFaults: number
  readonly readBytes: number
  readonly writtenBytes: number
  readonly voluntarySwitches: number
  readonly involuntarySwitches: number
}

export interface Launched {
  readonly launcherPid: number
  readonly stdout: Readable
  readonly stderr: Readable
  /** Starts the command, in the cgroup of `joinFile` if defined. Resolves with its pid, or with why it could not start. */
  go(joinFile: string | undefined): Promise<{ readonly pid: number } | { readonly refused: string }>
  readonly exited: Promise<Outcome>
  /** The resource usage of the whole tree. Call it when all other processes of the tree have ended. */
  end(): Promise<Usage | undefined>
  readonly closed: Promise<void>
  kill(): void
}

export interface LaunchOptions {
  readonly cwd?: string
  readonly env: NodeJS.ProcessEnv
  /** Command that runs the launcher, such as `systemd-run --scope`. */
  readonly prefix?: readonly string[]
}

const PERL = '/usr/bin/perl'
/** System call numbers of getrusage and prctl (asm/unistd.h) by process.arch. */
const CALLS: Readonly<Partial<Record<NodeJS.Architecture, readonly [number, number]>>> = {
  x64: [98, 157],
  arm64: [165, 167],
  riscv64: [165, 167],
  ppc64: [77, 171],
  s390x: [77, 172],
  arm: [77, 172],
  ia32: [77, 172],
}

/** Why the launcher cannot run on this system, or undefined. */
export function launcherMissing(): string | undefined {
  if (CALLS[process.arch] === undefined)
    return `byre does not know the system call numbers of ${process.arch}`
  return existsSync(PERL) ? undefined : `${PERL} does not exist`
}

/** Starts the launcher. Resolves when it is ready, or rejects with its error output. */
export async function launch(command: readonly string[], options: LaunchOptions): Promise<Launched> {
  const calls = CALLS[process.arch]!.join(',')
  const [program, ...args] = [...(options.prefix ?? []), PERL, '-e', SCRIPT, '--', calls, ...command]
  const child = spawn(program!, args, {
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const [control, facts] = [child.stdio[3] as Writable, child.stdio[4] as Readable]
  control.on('error', () => {}) // the launcher has ended: `closed` resolves
  const lines = lineReader(facts)
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  const failed = new Promise<undefined>((resolve) => child.once('error', () => resolve(undefined)))
  const ready = await Promise.race([lines.next('ready'), failed])
  if (ready === undefined) {
    child.kill('SIGKILL')
    throw new Error(`${program} did not start the launcher: ${await stderrOf(child)}`)
  }
  return {
    launcherPid: Number(ready[0]),
    stdout: child.stdout!,
    stderr: child.stderr!,
    async go(joinFile) {
      control.write(`go ${joinFile ?? ''}\n`)
      const answer = await lines.next('started', 'refused')
      if (answer === undefined) return { refused: 'the launcher ended before the command was started' }
      return answer.length === 1 ? { pid: Number(answer[0]) } : { refused: answer.join(' ') }
    },
    exited: lines.next('exited').then((words) => outcomeOf(Number(words?.[0] ?? Number.NaN))),
    async end() {
      control.write('end\n')
      return usageOf((await lines.next('usage')) ?? [])
    },
    closed,
    kill: () => void child.kill('SIGKILL'),
  }
}

/** Returns the words of the first line of each kind, also if it arrived before the call; undefined at the end of the stream. */
function lineReader(stream: Readable): { next(...kinds: string[]): Promise<string[] | undefined> } {
  const seen = new Map<string, string[]>()
  let ended = false
  let waiting: (() => void)[] = []
  const wake = (): void => {
    const all = waiting
    waiting = []
    for (const fn of all) fn()
  }
  createInterface({ input: stream })
    .on('line', (line) => {
      const [kind, ...words] = line.split(' ')
      if (!seen.has(kind!)) seen.set(kind!, words)
      wake()
    })
    .on('close', () => {
      ended = true
      wake()
    })
  return {
    async next(...kinds) {
      for (;;) {
        const found = kinds.find((kind) => seen.has(kind))
        if (found !== undefined) return seen.get(found)
        if (ended) return undefined
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
    },
  }
}

async function stderrOf(child: ChildProcess): Promise<string> {
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length < 2000) text += chunk
  })
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve())
    child.once('error', () => resolve())
  })
  return text.trim()
}

function outcomeOf(status: number): Outcome {
  if (Number.isNaN(status)) return { kind: 'not-started', reason: 'the launcher was killed' }
  const signal = status & 127
  if (signal === 0) return { kind: 'exited', code: status >> 8 }
  return { kind: 'killed', signal: SIGNALS[signal] ?? `signal ${signal}` }
}

const SIGNALS: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  4: 'SIGILL',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  13: 'SIGPIPE',
  15: 'SIGTERM',
}

/** `words` are the fields of struct rusage (getrusage(2)): maxrss is in KiB, block counts are in units of 512 bytes. */
function usageOf(words: readonly string[]): Usage | undefined {
  const n = words.map(Number)
  if (n.length < 16 || n.some((value) => !Number.isFinite(value))) return undefined
  return {
    userMs: n[0]! * 1000 + n[1]! / 1000,
    systemMs: n[2]! * 1000 + n[3]! / 1000,
    largestRssBytes: n[4]! * 1024,
    minorFaults: n[8]!,
    majorFaults: n[9]!,
    readBytes: n[11]! * 512,
    writtenBytes: n[12]! * 512,
    voluntarySwitches: n[16]!,
    involuntarySwitches: n[17]!,
  }
}

const SCRIPT = String.raw`
use strict; use POSIX ();
my ($rusage, $prctl) = split /,/, shift @ARGV;
open(my $in, '<&=', 3) or die "descriptor 3: $!\n"; open(my $out, '>&=', 4) or die "descriptor 4: $!\n";
select((select($out), $| = 1)[0]);
syscall($prctl, 36, 1, 0, 0, 0); syscall($prctl, 1, 15, 0, 0, 0);
my $pid = 0;
$SIG{INT} = 'IGNORE'; $SIG{HUP} = 'IGNORE'; $SIG{PIPE} = 'IGNORE';
$SIG{TERM} = sub { kill 'TERM', -$pid if $pid; POSIX::_exit(143) };
print $out "ready $$\n";
my $line = <$in>; exit 0 unless defined $line;
chomp $line; my $join = $line =~ /^go (.+)$/ ? $1 : '';
pipe(my $from, my $to) or die "pipe: $!\n";
$pid = fork; die "fork: $!\n" unless defined $pid;
if ($pid == 0) {
  $SIG{$_} = 'DEFAULT' for qw(INT HUP PIPE TERM);
  close $in; close $out; close $from; POSIX::setsid();
  if ($join ne '') {
    my $procs;
    unless (open($procs, '>', $join) && syswrite($procs, "0\n")) { syswrite($to, 'join ' . ($!+0) . " $!"); POSIX::_exit(127); }
    close $procs;
  }
  { no warnings; exec { $ARGV[0] } @ARGV; }
  syswrite($to, 'exec ' . ($!+0) . " $!"); POSIX::_exit($!{ENOENT} ? 127 : 126);
}
close $to; my $why = ''; sysread($from, $why, 500);
if ($why ne '') { waitpid($pid, 0); print $out "refused $why\n"; }
else {
  print $out "started $pid\n";
  while ((my $ended = wait) != $pid) { last if $ended < 0 }
  print $out "exited $?\n";
  defined(<$in>);
  1 while waitpid(-1, POSIX::WNOHANG()) > 0;
  my $use = "\0" x 144; syscall($rusage, -1, $use);
  print $out join(' ', 'usage', unpack('l!18', $use)), "\n";
}
POSIX::_exit(0);
`
