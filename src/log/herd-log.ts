// The log of one byre process: one root, one logger per worker, one place where all lines go out. Everything in it is
// bounded: repeats are folded (fold.ts), a slow reader costs lines, never the loop (fd-sink.ts, journald.ts), and a
// worker that has not been loaded costs nothing.

import { fstatSync } from 'node:fs'
import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { formatDurationMs } from '../base/durations.ts'
import { isTerminal } from './fd-sink.ts'
import { createFold, kindOf } from './fold.ts'
import type { Fold, Folded, FoldOptions } from './fold.ts'
import { LEVEL_NUMBERS } from './levels.ts'
import { createLineLogger, limitLine } from './line-logger.ts'
import type { LineLoggerOptions } from './line-logger.ts'
import type { Logger, LogLevel } from './logger.ts'
import { createWorkerLoggers } from './pino.ts'
import type { WorkerLoggers } from './pino.ts'
import { createOutput } from './output.ts'
import type { LogFormat, Source } from './output.ts'
import { isUnfolded } from './unfolded.ts'

export interface HerdLogOptions {
  /** Level of byre's own lines and of every worker that has none of its own. @default 'info' */
  readonly level?: LogLevel | 'silent'
  /** auto: journal when `fd` is the stream systemd gave ($JOURNAL_STREAM), pretty on a terminal, else json. @default 'auto' */
  readonly format?: 'auto' | LogFormat
  /** Read for JOURNAL_STREAM, NO_COLOR, TERM. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Where lines go; stays open. @default 1 */
  readonly fd?: number
  readonly clock?: Clock
  /** false: every line is written. */
  readonly fold?: FoldOptions | false
  /** journald's socket. @default /run/systemd/journal/stdout */
  readonly journalPath?: string
}

export interface HerdLog {
  /** byre's own lines. Setting `root.level` also moves every worker without a level of its own. */
  readonly root: Logger
  readonly format: LogFormat
  /** The worker's own logger (`ctx.log`): a pino child tagged `worker`, made on the first call and kept until `deactivate`. */
  worker(name: string): Logger
  /** byre's words about a worker: tagged `worker`, at the root's level, in the worker's journal stream. Costs nothing to drop. */
  about(name: string, urgency?: 'soon' | 'now'): Logger
  /** Takes effect at once, also for children the worker has made. Kept over restarts. */
  setLevel(worker: string, level: LogLevel | 'silent'): void
  levelOf(worker: string): LogLevel | 'silent'
  /** From now on the worker has a journal stream `byre-<worker>` (opened with its first line). Idempotent. */
  activate(worker: string): void
  /** Closes its stream and forgets its logger; lines it still writes appear in byre's own stream. Idempotent. */
  deactivate(worker: string): void
  /** Tells what is folded, then waits until the kernel has every line: true, or false after `timeoutMs` (at most 500). */
  flush(timeoutMs?: number): Promise<boolean>
  /** Last words at level fatal, written before it returns (it may hold the loop up to 500 ms for a slow reader). */
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
  /** Lines lost because stdout's reader was too slow or gone. */
  readonly dropped: number
  /** Lines held back by folding (told as counts). */
  readonly folded: number
  /** Bytes dropped because journald was too slow. */
  readonly journalLostBytes: number
  /** Connections to journald open now. */
  readonly journalStreams: number
}

/** Longest a failed sink may delay an end, ms (DESIGN law 4). */
const FLUSH_MAX_MS = 500

export async function createHerdLog(options: HerdLogOptions = {}): Promise<HerdLog> {
  const { env = process.env, fd = 1, clock = systemClock } = options
  const format = resolveFormat(options.format ?? 'auto', fd, env)
  const entries = new Map<string, Entry>()
  const output = await createOutput(format, {
    env,
    fd,
    clock,
    journalPath: options.journalPath,
    tell: (level, fields, message) => root[level](fields, message),
  })
  const now = (): number => clock.now()
  const write = (line: string, level: number, worker: string): void =>
    output.write(limitLine(line, level, now(), worker), entries.get(worker))
  /** Bad news is written at once: what comes next may be the end. */
  const writeSoon = (line: string, level: number, worker: string): void =>
    level > LEVEL_NUMBERS.info
      ? write(line, level, worker)
      : output.writeSoon(limitLine(line, level, now(), worker), entries.get(worker))
  const tagged = (worker: string): Pick<LineLoggerOptions, 'now' | 'write' | 'bindings'> => ({
    now,
    write: (line, level) => write(line, level, worker),
    bindings: worker === '' ? {} : { worker },
  })
  /** Passes every gate but 'silent': what byre says about the log itself. */
  const plain = (worker: string): Logger =>
    createLineLogger({ ...tagged(worker), level: () => (root.level === 'silent' ? 'silent' : 'trace') })
  const fold = options.fold === false ? undefined : createFold<About>(options.fold)
  const gate = createGate(fold, clock, plain)
  const level = options.level ?? 'info'
  const admit: Gate['admit'] = (...args) => gate.admit(...args)
  const workers = createWorkerLoggers({ level, now, write, admit })
  const root = createLineLogger({
    ...tagged(''),
    level,
    admit: (...args) => admit('', ...args),
    onLevel: (next) => workers.setLevel(next),
  })
  const flush = (timeoutMs: number = FLUSH_MAX_MS): Promise<boolean> => {
    gate.tellAll()
    return output.flush(Math.min(timeoutMs, FLUSH_MAX_MS))
  }
  return {
    root,
    format,
    ...createWorkerTable(entries, workers, root),
    about: (name, urgency = 'soon') =>
      createLineLogger({
        ...tagged(name),
        write: (line, level) => (urgency === 'soon' ? writeSoon : write)(line, level, name),
        level: () => root.level,
        admit: (...args) => admit(name, ...args),
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

/** What is known of a worker; only for workers that were activated, have logged or have a level of their own. */
interface Entry extends Source {
  active: boolean
  level: LogLevel | 'silent' | undefined
  logger: Logger | undefined
}

/** The members of HerdLog that deal with one worker's state. */
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

/** True when `value` ($JOURNAL_STREAM, `device:inode`, systemd.exec(5)) is the file behind `fd`. A child that redirected its output inherits the variable but not the file. */
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
  admit(worker: string, level: LogLevel, fields: unknown, message: unknown): boolean
  tellAll(): void
  close(): void
}

/** The fold with its timer, which runs only while something is held back. */
function createGate(fold: Fold<About> | undefined, clock: Clock, logger: (worker: string) => Logger): Gate {
  let timer: Timer | undefined
  const tell = ({ about, count, windowMs }: Folded<About>): void =>
    logger(about.worker)[about.level](
      { event: 'folded', repeated: count, windowMs: Math.round(windowMs) },
      `${about.kind} … repeated ${count} times in ${formatDurationMs(Math.round(windowMs))}`,
    )
  const arm = (): void => {
    const dueMs = fold?.nextDueMs
    if (timer !== undefined || dueMs === undefined) return
    const run = (): void => {
      timer = undefined
      fold?.due(clock.monotonic(), tell)
      arm()
    }
    timer = clock.setTimer(Math.max(1, dueMs - clock.monotonic()), run, { unref: true })
  }
  return {
    admit(worker, level, fields, message) {
      if (fold === undefined || isUnfolded(fields)) return true
      const kind = kindOf(fields, message)
      const about = (): About => ({ worker, level, kind })
      if (fold.admit(`${worker}\0${level}\0${kind}`, clock.monotonic(), about, tell)) return true
      arm()
      return false
    },
    tellAll() {
      fold?.drain(clock.monotonic(), tell)
    },
    close() {
      timer?.cancel()
    },
  }
}
