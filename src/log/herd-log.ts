// The log of one byre process: a root logger, one logger per worker, and one output. Repeated lines are folded (fold.ts), a
// slow reader loses lines but never blocks the event loop (fd-sink.ts, journald.ts), and a worker that is not loaded takes
// no memory here.

import { fstatSync } from 'node:fs'
import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { formatDurationMs } from '../base/durations.ts'
import { isTerminal } from './fd-sink.ts'
import { createFold, isUnfolded, kindOf } from './fold.ts'
import type { Fold, Folded, FoldOptions } from './fold.ts'
import { LEVEL_NUMBERS } from './levels.ts'
import { createLineLogger, limitLine } from './line-logger.ts'
import type { LineLoggerOptions } from './line-logger.ts'
import type { Logger, LogLevel } from './logger.ts'
import { createWorkerLoggers } from './pino.ts'
import type { WorkerLoggers } from './pino.ts'
import { createOutput } from './output.ts'
import type { LogFormat, Source } from './output.ts'

export interface HerdLogOptions {
  /** Level of byre's own lines and of every worker without a separate level. @default 'info' */
  readonly level?: LogLevel | 'silent'
  /** auto: journal when `fd` is systemd's stream ($JOURNAL_STREAM), pretty on a terminal, else json. @default 'auto' */
  readonly format?: 'auto' | LogFormat
  /** Source of JOURNAL_STREAM, NO_COLOR and TERM. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Output descriptor; never closed. @default 1 */
  readonly fd?: number
  readonly clock?: Clock
  /** false disables folding. */
  readonly fold?: FoldOptions | false
  /** journald's socket. @default /run/systemd/journal/stdout */
  readonly journalPath?: string
}

export interface HerdLog {
  /** Logger of byre's own lines. Setting `root.level` also changes every worker without a separate level. */
  readonly root: Logger
  readonly format: LogFormat
  /** The worker's logger (`ctx.log`): a pino child tagged `worker`, created on the first call and kept until `deactivate`. */
  worker(name: string): Logger
  /** Logger of byre's lines about a worker: tagged `worker`, at the root's level, in the worker's journal stream. Not retained. */
  about(name: string, urgency?: 'soon' | 'now'): Logger
  /** Takes effect at once, also for child loggers that the worker has created. Kept across restarts. */
  setLevel(worker: string, level: LogLevel | 'silent'): void
  levelOf(worker: string): LogLevel | 'silent'
  /** Gives the worker a journal stream `byre-<worker>`, opened with its first line. Idempotent. */
  activate(worker: string): void
  /** Closes the worker's stream and drops its logger; later lines of the worker go to byre's own stream. Idempotent. */
  deactivate(worker: string): void
  /** Reports folded lines, then waits until the kernel has every line: true, or false after `timeoutMs` (at most 500). */
  flush(timeoutMs?: number): Promise<boolean>
  /** Writes the final record at level fatal before it returns; a slow reader may block the loop for up to 500 ms. */
  fatalSync(fields: object, message: string): void
  /** Flushes and closes; later lines are dropped. Idempotent. */
  close(timeoutMs?: number): Promise<void>
  readonly counts: LogCounts
}

/** The log of a herd, as the supervisor uses it. */
export type SupervisorLog = Pick<
  HerdLog,
  'root' | 'format' | 'worker' | 'about' | 'setLevel' | 'activate' | 'deactivate' | 'fatalSync' | 'flush'
>

export interface LogCounts {
  /** Lines dropped because the reader of the output was too slow or gone. */
  readonly dropped: number
  /** Lines that were folded: reported as counts. */
  readonly folded: number
  /** Bytes of lines dropped because journald was too slow. */
  readonly journalLostBytes: number
  /** Open connections to journald. */
  readonly journalStreams: number
}

/** A failed output delays a shutdown by at most this much, ms. */
const FLUSH_MAX_MS = 500
/** Lines of one kind of a worker that pass in 10 s: a program that logs each of its orders loses none. */
const WORKER_LINES = 100

export async function createHerdLog(options: HerdLogOptions = {}): Promise<HerdLog> {
  const { env = process.env, fd = 1, clock = systemClock } = options
  const format = resolveFormat(options.format ?? 'auto', fd, env)
  const entries = new Map<string, Entry>()
  const output = await createOutput(format, {
    env,
    fd,
    clock,
    journalPath: options.journalPath,
    report: (level, fields, message) => root[level](fields, message),
  })
  const now = (): number => clock.now()
  const write = (line: string, level: number, worker: string): void =>
    output.write(limitLine(line, level, now(), worker), entries.get(worker))
  /** Writes warnings and errors at once, since the process may end next; other lines are batched. */
  const writeBatched = (line: string, level: number, worker: string): void =>
    level > LEVEL_NUMBERS.info
      ? write(line, level, worker)
      : output.writeBatched(limitLine(line, level, now(), worker), entries.get(worker))
  const tagged = (worker: string): Pick<LineLoggerOptions, 'now' | 'write' | 'bindings'> => ({
    now,
    write: (line, level) => write(line, level, worker),
    bindings: worker === '' ? {} : { worker },
  })
  /** Logger of lines about the log itself: never folded, dropped only at level 'silent'. */
  const plain = (worker: string): Logger =>
    createLineLogger({ ...tagged(worker), level: () => (root.level === 'silent' ? 'silent' : 'trace') })
  const fold = options.fold === false ? undefined : createFold<About>(options.fold)
  const gate = createGate(fold, clock, plain)
  const level = options.level ?? 'info'
  const workers = createWorkerLoggers({
    level,
    now,
    write,
    admit: (worker, ...args) =>
      gate.admit(worker, options.fold === undefined ? WORKER_LINES : undefined, ...args),
  })
  const root = createLineLogger({
    ...tagged(''),
    level,
    admit: (...args) => gate.admit('', undefined, ...args),
    onLevel: (next) => workers.setLevel(next),
  })
  const flush = (timeoutMs: number = FLUSH_MAX_MS): Promise<boolean> => {
    gate.reportAll()
    return output.flush(Math.min(timeoutMs, FLUSH_MAX_MS))
  }
  return {
    root,
    format,
    ...createWorkerTable(entries, workers, root),
    about: (name, urgency = 'soon') =>
      createLineLogger({
        ...tagged(name),
        write: (line, level) => (urgency === 'soon' ? writeBatched : write)(line, level, name),
        level: () => root.level,
        admit: (...args) => gate.admit(name, undefined, ...args),
      }),
    flush,
    fatalSync(fields, message) {
      const last = (line: string, number: number): void =>
        output.writeSync(limitLine(line, number, now(), ''), FLUSH_MAX_MS)
      createLineLogger({ level: 'fatal', now, write: last }).fatal(fields, message)
    },
    async close(timeoutMs) {
      await flush(timeoutMs)
      gate.close()
      for (const entry of entries.values()) entry.stream?.close()
      output.close()
    },
    get counts() {
      return { folded: fold?.total ?? 0, ...output.counts() }
    },
  }
}

/** State of a worker that is active, has logged or has a separate level. */
interface Entry extends Source {
  active: boolean
  level: LogLevel | 'silent' | undefined
  logger: Logger | undefined
}

/** The members of HerdLog for single workers. */
function createWorkerTable(
  entries: Map<string, Entry>,
  workers: WorkerLoggers,
  root: Logger,
): Pick<HerdLog, 'worker' | 'setLevel' | 'levelOf' | 'activate' | 'deactivate'> {
  const entryOf = (name: string): Entry => {
    const known = entries.get(name)
    if (known !== undefined) return known
    const entry: Entry = { name, active: false, level: undefined, logger: undefined, stream: undefined }
    entries.set(name, entry)
    return entry
  }
  return {
    worker(name) {
      const entry = entryOf(name)
      if (entry.logger === undefined) {
        entry.logger = workers.create(name)
        if (entry.level !== undefined) entry.logger.level = entry.level
      }
      return entry.logger
    },
    setLevel(name, level) {
      const entry = entryOf(name)
      entry.level = level
      if (entry.logger !== undefined) entry.logger.level = level
    },
    levelOf: (name) => entries.get(name)?.level ?? root.level,
    activate(name) {
      entryOf(name).active = true
    },
    deactivate(name) {
      const entry = entries.get(name)
      if (entry === undefined) return
      entry.stream?.close()
      entry.stream = undefined
      entry.logger = undefined
      entry.active = false
      if (entry.level === undefined) entries.delete(name)
    },
  }
}

function resolveFormat(
  format: 'auto' | LogFormat,
  fd: number,
  env: Readonly<Record<string, string | undefined>>,
): LogFormat {
  if (format !== 'auto') return format
  if (isJournalStream(fd, env['JOURNAL_STREAM'])) return 'journal'
  return isTerminal(fd) ? 'pretty' : 'json'
}

/** Returns true when `value` ($JOURNAL_STREAM, `device:inode`, systemd.exec(5)) is the file behind `fd`. A process whose output was
 *  redirected has the variable, but another file. */
export function isJournalStream(fd: number, value: string | undefined): boolean {
  if (value === undefined) return false
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true })
    return value === `${dev}:${ino}`
  } catch {
    return false
  }
}

interface About {
  readonly worker: string
  readonly level: LogLevel
  readonly kind: string
}

interface Gate {
  /** `lines` of a kind pass in each window. @default as in the options of the log */
  admit(
    worker: string,
    lines: number | undefined,
    level: LogLevel,
    fields: unknown,
    message: unknown,
  ): boolean
  reportAll(): void
  close(): void
}

/** A fold with its timer, which runs only while lines are held back. */
function createGate(fold: Fold<About> | undefined, clock: Clock, logger: (worker: string) => Logger): Gate {
  let timer: Timer | undefined
  const report = ({ about, count, windowMs }: Folded<About>): void =>
    logger(about.worker)[about.level](
      { event: 'folded', repeated: count, windowMs: Math.round(windowMs) },
      `${about.kind} … repeated ${count} times in ${formatDurationMs(Math.round(windowMs))}`,
    )
  const arm = (): void => {
    const dueMs = fold?.nextDueMs
    if (timer !== undefined || dueMs === undefined) return
    const run = (): void => {
      timer = undefined
      fold?.due(clock.monotonic(), report)
      arm()
    }
    timer = clock.setTimer(Math.max(1, dueMs - clock.monotonic()), run, { unref: true })
  }
  return {
    admit(worker, lines, level, fields, message) {
      if (fold === undefined || isUnfolded(fields)) return true
      const kind = kindOf(fields, message)
      const about = (): About => ({ worker, level, kind })
      if (fold.admit(`${worker}\0${level}\0${kind}`, clock.monotonic(), about, report, lines)) return true
      arm()
      return false
    },
    reportAll() {
      fold?.drain(clock.monotonic(), report)
    },
    close() {
      timer?.cancel()
    },
  }
}
