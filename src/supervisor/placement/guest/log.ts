// ctx.log in a thread or process of its own: lines are built here, at the level the herd has set, and written by the host.

import { createLineLogger } from '../../../log/line-logger.ts'
import type { Logger, LogLevel } from '../../../log/logger.ts'
import type { Link } from '../wire/link.ts'

/** Lines longer than this are not sent whole, characters; the host would cut them all the same. */
const LINE_MAX = 65_536
const HEAD_LENGTH = 2048

export interface GuestLog {
  readonly logger: Logger
  /** The herd set another level. */
  setLevel(level: LogLevel | 'silent'): void
}

/** While the host lags, lines are dropped and counted; the count is told with the next line that goes out. */
export function createGuestLog(link: Link, level: LogLevel | 'silent', now: () => number): GuestLog {
  let dropped = 0
  let fromHost = false
  const logger = createLineLogger({
    level,
    now,
    write: (line) => {
      if (!link.writable) {
        dropped++
        return
      }
      if (dropped > 0) {
        const count = dropped
        dropped = 0
        logger.warn(
          { event: 'log-dropped', dropped: count },
          `dropped ${count} log lines: the supervisor lagged`,
        )
      }
      link.send(line.length > LINE_MAX ? cutLine(line) : `["log",${line.trimEnd()}]`)
    },
    onLevel: (next) => {
      if (!fromHost) link.send(JSON.stringify(['lvl', next]))
    },
  })
  return {
    logger,
    setLevel(next) {
      fromHost = true
      logger.level = next
      fromHost = false
    },
  }
}

function cutLine(line: string): string {
  const length = line.length
  const msg = `A log line of ${length} characters was cut: at most ${LINE_MAX} are written`
  return JSON.stringify([
    'log',
    { level: 40, event: 'log-line-cut', length, head: line.slice(0, HEAD_LENGTH), msg },
  ])
}
