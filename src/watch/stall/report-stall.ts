// Log lines of the watching thread, written while the loop that owns the log is blocked: each is one write(2) of a whole
// line to the same descriptor.

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { BIGINT } from '../../base/stat.ts'
import { LEVEL_NUMBERS } from '../../log/levels.ts'
import { createLineLogger } from '../../log/line-logger.ts'
import type { Logger } from '../../log/logger.ts'
import type { LogFormat } from '../../log/output.ts'

export interface TellOptions {
  readonly format: LogFormat
  readonly colour: boolean
  readonly fd: number
  /** Least level that is written, as in LEVEL_NUMBERS. */
  readonly levelNumber: () => number
}

/** A reader that takes nothing for this long loses the line. */
const WRITE_MAX_MS = 500

export async function openTell({ format, colour, fd, levelNumber }: TellOptions): Promise<Logger> {
  const text = await formatter(format, colour)
  return createLineLogger({
    level: 'trace',
    now: Date.now,
    write: (line, level) => {
      if (level >= Math.min(levelNumber(), LEVEL_NUMBERS.fatal + 1)) writeLine(fd, text(line))
    },
  })
}

async function formatter(format: LogFormat, colour: boolean): Promise<(line: string) => string> {
  if (format === 'json') return (line) => line
  if (format === 'pretty') {
    const { formatPretty } = await import('../../log/pretty.ts')
    return (line) => formatPretty(line, { colour })
  }
  const { formatJournal } = await import('../../log/journal-text.ts')
  return (line) => formatJournal(line, false)
}

/** Never throws, and waits for a slow reader 500 ms at most. */
function writeLine(fd: number, line: string): void {
  let own: number | undefined
  try {
    own = reopen(fd)
    let rest: Buffer = Buffer.from(line)
    const endAt = performance.now() + WRITE_MAX_MS
    while (rest.length > 0 && performance.now() < endAt) {
      try {
        rest = rest.subarray(writeSync(own ?? fd, rest))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
      }
    }
  } catch {
    // nobody reads the log any more
  } finally {
    if (own !== undefined) closeSync(own)
  }
}

/** A pipe's own description may be blocking; opened anew it is not. What cannot be opened anew is written to as it is. */
function reopen(fd: number): number | undefined {
  const stat = fstatSync(fd, BIGINT)
  if (!stat.isFIFO()) return undefined
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    return undefined
  }
}
