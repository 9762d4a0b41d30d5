// stdout and stderr of a child process as pipes, which a program can open again by path: `echo > /dev/stderr`,
// writeFileSync('/dev/stdout'). Node's 'pipe' is a socket pair, on which open(2) fails with ENXIO, and Node cannot create a
// pipe. A FIFO that both sides have opened is equivalent; its name is removed at once.

import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'

export interface OutputPipes {
  readonly stdout: Socket
  readonly stderr: Socket
  /** The writing ends of both, for the `stdio` of children. */
  readonly childFds: readonly [stdout: number, stderr: number]
  /** Call once all children are spawned. */
  closeChildFds(): void
}

/** Returns undefined where no pipe can be created; that is logged once, and not tried again. Never throws. */
export type OpenOutputPipes = () => OutputPipes | undefined

type Paths = readonly [stdout: string, stderr: string]

/** `folder` must exist. A call blocks the loop for about 2 ms: it runs mkfifo. */
export function createOutputPipes(folder: string, log: Logger): OpenOutputPipes {
  let count = 0
  let usable = true
  return () => {
    if (!usable) return undefined
    const paths = pathsOf(join(folder, `${process.pid}.${++count}`))
    try {
      makeFifos(paths)
      return openFifos(paths)
    } catch (error) {
      usable = false
      reportNoPipes(log, error)
      return undefined
    } finally {
      removeFifos(paths)
    }
  }
}

/** Logs that no pipe can be created. */
export function reportNoPipes(log: Pick<Logger, 'info'>, error: unknown): void {
  const why = describeThrown(error).message
  log.info(
    { event: 'no-output-pipes', why },
    'no pipe can be created: stdout and stderr of processes are sockets, so /dev/stdout and /dev/stderr cannot be opened in ' +
      `them, and what a child process prints to an inherited stdout or stderr goes to those of byre: ${why}`,
  )
}

/** The FIFOs number `id` of this process in `folder`, for a thread that opens the writing ends and a reader in another thread. */
export function fifoStem(folder: string, id: number): string {
  return join(folder, `${process.pid}.t${id}`)
}

/** Creates the FIFOs and opens their writing ends, before there is a reader. Nothing is lost until the reader opens them, as long as
 *  this thread keeps them open. Throws where that is not possible. */
export function openWritingEnds(stem: string): readonly [stdout: number, stderr: number] {
  const paths = pathsOf(stem)
  try {
    makeFifos(paths)
    // A descriptor for both directions opens without a peer, and is the peer of the writing end.
    for (const path of paths) openSync(path, constants.O_RDWR)
    return each(paths, (path) => openSync(path, constants.O_WRONLY))
  } catch (error) {
    removeFifos(paths)
    throw error
  }
}

/** Opens the reading ends of openWritingEnds and removes the names. Throws if there are none. */
export function openReadingEnds(stem: string): readonly [stdout: Socket, stderr: Socket] {
  const paths = pathsOf(stem)
  try {
    return each(paths, (path) => readFrom(openReading(path)))
  } finally {
    removeFifos(paths)
  }
}

function pathsOf(stem: string): Paths {
  return [`${stem}.stdout`, `${stem}.stderr`]
}

function makeFifos(paths: Paths): void {
  // Not imported: the supervisor loads this file, and most herds have no child processes.
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const { error, status, stderr } = spawnSync('mkfifo', ['-m', '600', '--', ...paths], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`mkfifo ended with code ${status}: ${String(stderr).trim()}`)
}

function removeFifos(paths: Paths): void {
  for (const path of paths) rmSync(path, { force: true })
}

function openFifos(paths: Paths): OutputPipes {
  const fds: number[] = []
  const noted = (fd: number): number => {
    fds.push(fd)
    return fd
  }
  try {
    // Reading ends first: the writing ends then find their reader.
    const readingFds = each(paths, (path) => noted(openReading(path)))
    const childFds = each(paths, (path) => noted(openSync(path, constants.O_WRONLY)))
    const [stdout, stderr] = each(readingFds, readFrom)
    return { stdout, stderr, childFds, closeChildFds: () => childFds.forEach((fd) => closeSync(fd)) }
  } catch (error) {
    for (const fd of fds) closeSync(fd)
    throw error
  }
}

/** With O_NONBLOCK it does not wait for a writer. */
function openReading(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
}

function readFrom(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: false })
}

function each<A, B>([stdout, stderr]: readonly [A, A], fn: (value: A) => B): [B, B] {
  return [fn(stdout), fn(stderr)]
}
