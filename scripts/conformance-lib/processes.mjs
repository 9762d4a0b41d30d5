// Child processes of a run: each leads a process group of its own, which ends with it or with this process at the latest.
import { spawn } from 'node:child_process'
import { constants, tmpdir } from 'node:os'
import { dirname, delimiter } from 'node:path'

const live = new Set()
process.on('exit', () => {
  for (const child of live) killGroup(child)
})
// They are in groups of their own: a Ctrl-C in the terminal does not reach them.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => process.exit(128 + constants.signals[signal]))

/** Nothing of the caller's environment but what a program needs, so that every run is alike. */
export const cleanEnv = (node, extra = {}) => ({
  PATH: `${dirname(node)}${delimiter}${process.env.PATH}`,
  HOME: process.env.HOME ?? tmpdir(),
  LANG: 'C.UTF-8',
  ...extra,
})

/** Starts a child that is killed with all of its group when `release` is called. */
export function start(command, args, options) {
  const child = spawn(command, args, { ...options, detached: true })
  live.add(child)
  const release = () => {
    killGroup(child)
    live.delete(child)
  }
  return { child, release }
}

export function killGroup(child) {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}

/** Calls `each(item, slot)` for the items, `jobs` at a time. */
export async function pool(items, jobs, each) {
  const queue = [...items]
  const lane = async (_, slot) => {
    while (queue.length > 0) await each(queue.shift(), slot)
  }
  await Promise.all(Array.from({ length: jobs }, lane))
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
