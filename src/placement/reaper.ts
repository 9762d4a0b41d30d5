// Ends workers' processes whose supervisor is gone: a script has nothing of byre's inside that could notice, a loop that is
// held does not see the end of its wire, and Node cannot ask the kernel for a signal at its parent's end. One shell for the
// whole herd reads from a pipe who there is; at the end of the pipe scripts are sent SIGTERM, and each process has its
// stopTimeout left. It costs 0.12 MB (Anonymous of dash with 18 workers, n = 5: 116 to 124 kB) and never wakes before that.
// Loaded with the first process.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Writable } from 'node:stream'
import type { Clock, Timer } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import { readStat } from '../procfs/stat.ts'

export interface Reaper {
  /** It runs. Returns what is to be called when it is gone. */
  watch(orphan: Orphan): () => void
}

/** What becomes of a process once the supervisor is gone. */
export interface Orphan {
  readonly pid: number
  /** How long it may take to end before SIGKILL; rounded up to seconds, and one more. */
  readonly graceMs: number
  /** It is sent SIGTERM first. */
  readonly ask: boolean
}

/** Entries are pid:start:signal:seconds, signal 0 being none. A pid that is used again has another start time (field 22 of
 *  stat) and is left alone. */
const SCRIPT = `
trap '' HUP INT QUIT TERM
list=
while read -r what pid rest; do
  kept=
  for one in $list; do [ "\${one%%:*}" = "$pid" ] || kept="$kept $one"; done
  list=$kept
  [ "$what" = + ] && list="$list $pid:$rest"
done
runs() {
  read -r stat < "/proc/\${1%%:*}/stat" || return 1
  start=\${1#*:}
  set -- \${stat##*) }
  [ "$1" != Z ] && [ "\${20}" = "\${start%%:*}" ]
}
for one in $list; do
  ask=\${one%:*}
  runs "$one" && kill -"\${ask##*:}" "\${one%%:*}"
done
waited=0
while [ -n "$list" ]; do
  left=
  for one in $list; do
    runs "$one" || continue
    if [ "$waited" -ge "\${one##*:}" ]; then kill -KILL "\${one%%:*}"; else left="$left $one"; fi
  done
  list=$left
  [ -n "$list" ] && sleep 1
  waited=$((waited + 1))
done
`

/** A shell that failed is started again after this long, doubled each time, at most the second. */
const RETRY_MS = 10_000
const RETRY_MAX_MS = 600_000

export function createReaper(log: Logger, clock: Clock): Reaper {
  /** What the shell was told of each, by pid. */
  const watched = new Map<number, string>()
  let pipe: Writable | undefined
  let retry: Timer | undefined
  let retryMs = RETRY_MS
  const open = (): void => {
    pipe = startShell((why) => {
      pipe = undefined
      log.warn(
        { event: 'reaper-failed', why, retryMs },
        'a worker that holds its loop in a process of its own would outlive a supervisor that is killed',
      )
      retry ??= clock.setTimer(retryMs, again, { unref: true })
      retryMs = Math.min(RETRY_MAX_MS, retryMs * 2)
    })
    for (const entry of watched.values()) pipe?.write(entry)
  }
  const again = (): void => {
    retry = undefined
    if (watched.size > 0) open()
  }
  return {
    watch({ pid, graceMs, ask }) {
      const stat = readStat(pid)
      if (!stat.ok) return () => {} // gone already, or nothing to know it by
      // Its own time first: whoever does notice stops in order.
      const signal = ask ? 'TERM' : 0
      const entry = `+ ${pid} ${stat.value.startTicks}:${signal}:${Math.ceil(graceMs / 1000) + 1}\n`
      watched.set(pid, entry)
      if (pipe !== undefined) pipe.write(entry)
      else if (retry === undefined) open()
      return () => {
        if (watched.get(pid) === entry) watched.delete(pid)
        pipe?.write(`- ${pid}\n`)
      }
    },
  }
}

/** `onGone` is told once why it failed, or that it is gone; maybe before this returns. */
function startShell(onGone: (why: string) => void): Writable | undefined {
  let gone = false
  const failed = (why: string): void => {
    if (gone) return
    gone = true
    onGone(why)
  }
  let shell: ChildProcess
  try {
    shell = spawn('/bin/sh', ['-c', SCRIPT], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { PATH: '/usr/bin:/bin' },
      cwd: '/',
    })
  } catch (error) {
    failed(describeThrown(error).message) // ENOMEM and the like are thrown
    return undefined
  }
  shell.once('error', (error) => failed(describeThrown(error).message))
  shell.once('exit', (code, signal) => failed(`it ended with ${String(code ?? signal)}`))
  shell.unref()
  const { stdin } = shell
  if (stdin === null || stdin === undefined) return undefined // EMFILE, ENFILE: 'error' tells it
  stdin.on('error', () => {}) // its end is told by 'exit'
  if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref()
  return stdin
}
