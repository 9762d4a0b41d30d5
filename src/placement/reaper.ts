// Ends workers' processes when the supervisor is gone: a script contains no code of byre that could notice it, a blocked loop
// does not see the end of its wire, and Node cannot request a signal at the end of the parent (PR_SET_PDEATHSIG). One shell
// for the whole herd reads the list of processes from a pipe. At the end of the pipe it sends SIGTERM to scripts, and SIGKILL
// to each process after its stopTimeout. It costs 0.12 MB (Anonymous of dash with 18 workers, n = 5: 116 to 124 kB) and wakes
// only for changes of the list. Loaded with the first process.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import type { Writable } from 'node:stream'
import type { Clock, Timer } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import { readStat } from '../procfs/stat.ts'

export interface Reaper {
  /** Adds a running process to the list. Call the result when it has ended. */
  watch(orphan: Orphan): () => void
}

/** How a process is ended once the supervisor is gone. */
export interface Orphan {
  readonly pid: number
  /** Time before SIGKILL, ms; rounded up to seconds, plus one second. */
  readonly graceMs: number
  /** Sends SIGTERM first. */
  readonly terminate: boolean
}

/** Entries are pid:start:signal:seconds; signal 0 sends none. A reused pid has another start time (field 22 of stat) and is
 *  left alone. */
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

/** A failed shell is restarted after this delay, which doubles each time up to the maximum. */
const RETRY_MS = 10_000
const RETRY_MAX_MS = 600_000

export function createReaper(log: Logger, clock: Clock): Reaper {
  /** The line written to the shell for each process, by pid. */
  const watched = new Map<number, string>()
  let pipe: Writable | undefined
  let retry: Timer | undefined
  let retryMs = RETRY_MS
  const open = (): void => {
    pipe = startShell((why) => {
      pipe = undefined
      log.warn(
        { event: 'reaper-failed', why, retryMs },
        'until it runs again, a process with a blocked loop outlives a supervisor that is killed',
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
    watch({ pid, graceMs, terminate }) {
      const stat = readStat(pid)
      if (!stat.ok) return () => {} // it has ended, or cannot be identified
      // SIGKILL comes after the stopTimeout, because a process that notices the end stops in order.
      const signal = terminate ? 'TERM' : 0
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

/** Calls `onGone` once, with the reason why the shell failed or ended; possibly before this returns. */
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
      // A signal to the process group of the supervisor does not end it with the supervisor.
      detached: true,
    })
  } catch (error) {
    failed(describeThrown(error).message) // ENOMEM and the like are thrown
    return undefined
  }
  shell.once('error', (error) => failed(describeThrown(error).message))
  shell.once('exit', (code, signal) => failed(`it ended with ${String(code ?? signal)}`))
  shell.unref()
  const { stdin } = shell
  if (stdin === null || stdin === undefined) return undefined // EMFILE, ENFILE: 'error' follows
  stdin.on('error', () => {}) // 'exit' reports the end
  if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref()
  return stdin
}
