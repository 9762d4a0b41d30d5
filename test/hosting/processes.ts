// Finds the processes that the program under test has started, by a word on their command line.
import { readdirSync, readFileSync } from 'node:fs'
import type { Owner } from '../helpers/herd.ts'

let last = 0

/** A word that is on the command line of no other process. What still runs with it at the end of the test is killed. */
export function marked(t: Owner): string {
  const mark = `mark-${process.pid}-${++last}`
  t.teardown(() => {
    for (const pid of running(mark)) process.kill(pid, 'SIGKILL')
  })
  return mark
}

/** The pids of the processes with `mark` on their command line; a zombie has none. */
export function running(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => cmdline(pid).includes(mark))
    .map(Number)
}

function cmdline(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}
