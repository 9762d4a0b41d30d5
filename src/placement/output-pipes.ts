// stdout and stderr of a child as pipes, which a program may open again by path: `echo > /dev/stderr`,
// writeFileSync('/dev/stdout'). Node's own 'pipe' is a socket pair, where open(2) fails with ENXIO, and Node cannot make a
// pipe. A FIFO that both sides have opened is one; its name is removed at once.

import { spawnSync } from 'node:child_process'
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'

export interface OutputPipes {
  readonly stdout: Socket
  readonly stderr: Socket
  /** The writing ends of both, for the `stdio` of the child. */
  readonly childFds: readonly [stdout: number, stderr: number]
  /** Once the child is spawned, or could not be. */
  closeChildFds(): void
}

/** Gives undefined where none can be made; the log says so once, and none is tried again. Never throws. */
export type OpenOutputPipes = () => OutputPipes | undefined

/** `folder` must exist. A call holds the loop for about 2 ms: one run of mkfifo. */
export function createOutputPipes(folder: string, log: Logger): OpenOutputPipes {
  let count = 0
  let usable = true
  return () => {
    if (!usable) return undefined
    const stem = join(folder, `${process.pid}.${++count}`)
    const paths = [`${stem}.stdout`, `${stem}.stderr`] as const
    try {
      makeFifos(paths)
      return openFifos(paths)
    } catch (error) {
      usable = false
      const why = describeThrown(error).message
      log.info(
        { event: 'no-output-pipes', why },
        `stdout and stderr of processes are sockets, so /dev/stdout and /dev/stderr cannot be opened in them: ${why}`,
      )
      return undefined
    } finally {
      for (const path of paths) rmSync(path, { force: true })
    }
  }
}

function makeFifos(paths: readonly string[]): void {
  const { error, status, stderr } = spawnSync('mkfifo', ['-m', '600', '--', ...paths], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`mkfifo ended with code ${status}: ${String(stderr).trim()}`)
}

function openFifos(paths: readonly [string, string]): OutputPipes {
  const fds: number[] = []
  const open = (path: string, flags: number): number => {
    const fd = openSync(path, flags)
    fds.push(fd)
    return fd
  }
  try {
    // The reading ends first: opened like this they do not wait for the writing ends, which find them then.
    const [out, err] = each(paths, (path) => open(path, constants.O_RDONLY | constants.O_NONBLOCK))
    const childFds = each(paths, (path) => open(path, constants.O_WRONLY))
    const [stdout, stderr] = each([out, err], (fd) => new Socket({ fd, readable: true, writable: false }))
    return { stdout, stderr, childFds, closeChildFds: () => childFds.forEach((fd) => closeSync(fd)) }
  } catch (error) {
    for (const fd of fds) closeSync(fd)
    throw error
  }
}

function each<A, B>([stdout, stderr]: readonly [A, A], fn: (value: A) => B): [B, B] {
  return [fn(stdout), fn(stderr)]
}
