// stdout and stderr of a child process as pipes, which a program can open again by path: `echo > /dev/stderr`,
// writeFileSync('/dev/stdout'). Node's 'pipe' is a socket pair, on which open(2) fails with ENXIO, and Node cannot create a
// pipe. A FIFO that both sides have opened is equivalent; its name is removed at once.

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
  /** Call once the child is spawned or could not be spawned. */
  closeChildFds(): void
}

/** Returns undefined where no pipe can be created; that is logged once, and not tried again. Never throws. */
export type OpenOutputPipes = () => OutputPipes | undefined

/** `folder` must exist. A call blocks the loop for about 2 ms: it runs mkfifo. */
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
    // Reading ends first: with O_NONBLOCK they do not wait for a writer, and the writing ends then find their reader.
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
