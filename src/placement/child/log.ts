// ctx.log in a thread or process of its own: lines are built here, at the level the herd has set, and written by the host.

import { stringify } from '../../base/json.ts'
import { createLineLogger, limitLine } from '../../log/line-logger.ts'
import type { Logger, LogLevel } from '../../log/logger.ts'
import type { Link } from '../wire/link.ts'

export interface ChildLog {
  readonly logger: Logger
  /** The herd set another level. */
  setLevel(level: LogLevel | 'silent'): void
}

/** While the host lags, lines are dropped and counted; the count is told with the next line that goes out. */
export function createChildLog(
  link: Link,
  worker: string,
  level: LogLevel | 'silent',
  now: () => number,
): ChildLog {
  let dropped = 0
  let fromHost = false
  const logger = createLineLogger({
    level,
    now,
    bindings: { worker }, // no field can pass for a member of the line, so the host can take it apart
    write: (line, number) => {
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
      link.send(`["log",${limitLine(line, number, now(), worker).trimEnd()}]`)
    },
    onLevel: (next) => {
      if (!fromHost) link.send(stringify(['lvl', next]))
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
