// Writes log lines in the chosen format: to one descriptor, or to journald with a stream per active worker and the
// descriptor as the fallback.

import type { Clock } from '../base/clock.ts'
import { createFdSink } from './fd-sink.ts'
import type { FdSink } from './fd-sink.ts'
import type { Journal, JournalStream } from './journald.ts'
import type { LogLevel } from './logger.ts'

export type LogFormat = 'json' | 'pretty' | 'journal'

export interface OutputOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly fd: number
  readonly clock: Clock
  readonly journalPath: string | undefined
  /** Logs the state of the output itself: lines dropped, journald unreachable. */
  readonly report: (level: LogLevel, fields: object, message: string) => void
}

/** The worker that wrote a line, and its open journal stream. */
export interface Source {
  readonly name: string
  readonly active: boolean
  stream: JournalStream | undefined
}

export interface Output {
  /** Writes one JSON line, which ends in a newline. Never throws, never blocks. */
  write(line: string, source: Source | undefined): void
  /** Like `write`, but may delay the line to the end of this turn of the event loop. Lines keep their order. */
  writeBatched(line: string, source: Source | undefined): void
  writeSync(line: string, timeoutMs: number): void
  /** Returns true once the kernel has everything, false when `timeoutMs` passed first. */
  flush(timeoutMs: number): Promise<boolean>
  close(): void
  counts(): { readonly dropped: number; readonly journalLostBytes: number; readonly journalStreams: number }
}

/** Loads only the modules that the format needs. */
export async function createOutput(format: LogFormat, options: OutputOptions): Promise<Output> {
  const sink = await createFdSink({
    fd: options.fd,
    clock: options.clock,
    onDropped: (dropped) =>
      options.report(
        'warn',
        { event: 'log-dropped', dropped },
        `Dropped ${dropped} log lines: the reader of the log was too slow or gone`,
      ),
  })
  if (format === 'journal') return createJournalOutput(sink, options)
  const text = await formatter(format, options.env)
  const batch = createBatch((lines) => sink.write(lines))
  return {
    write(line) {
      batch.flush()
      sink.write(text(line))
    },
    writeBatched: (line) => batch.add(text(line)),
    writeSync(line, timeoutMs) {
      batch.flush()
      sink.writeSync(text(line), timeoutMs)
    },
    flush(timeoutMs) {
      batch.flush()
      return sink.flush(timeoutMs)
    },
    close() {
      batch.flush()
      sink.close()
    },
    counts: () => ({ dropped: sink.dropped, journalLostBytes: 0, journalStreams: 0 }),
  }
}

async function formatter(
  format: 'json' | 'pretty',
  env: OutputOptions['env'],
): Promise<(line: string) => string> {
  if (format === 'json') return (line) => line
  const { formatPretty, wantsColour } = await import('./pretty.ts')
  const colour = wantsColour(env)
  return (line) => formatPretty(line, { colour })
}

async function createJournalOutput(sink: FdSink, options: OutputOptions): Promise<Output> {
  const [{ createJournal }, { formatJournal }] = await Promise.all([
    import('./journald.ts'),
    import('./journal-text.ts'),
  ])
  const journal: Journal = createJournal({
    clock: options.clock,
    ...(options.journalPath === undefined ? {} : { path: options.journalPath }),
    // '<6>text' from a worker's stream becomes '<6>[byre-webhook] text'
    fallback: (line, identifier) =>
      sink.write(identifier === 'byre' ? line : line.replace('>', `>[${identifier}] `)),
    onOutage(reason) {
      if (reason === undefined)
        options.report('info', { event: 'journal-back' }, 'journald is reachable again')
      else
        options.report(
          'warn',
          { event: 'journal-unreachable', reason },
          'Cannot reach journald: the lines of all workers go to stdout, tagged with the worker',
        )
    },
  })
  const root = journal.stream('byre')
  const write: Output['write'] = (line, source) => {
    if (source === undefined || !source.active) return root.write(formatJournal(line, false))
    source.stream ??= journal.stream(`byre-${source.name}`)
    source.stream.write(formatJournal(line, true))
  }
  return {
    write,
    writeBatched: write, // a journal entry is one line, so there is nothing to batch
    writeSync(line, timeoutMs) {
      const text = formatJournal(line, false)
      root.write(text)
      if (!root.flushed) sink.writeSync(text, timeoutMs)
    },
    flush: (timeoutMs) => flushJournal(journal, sink, timeoutMs, options.clock),
    close() {
      root.close()
      sink.close()
    },
    counts: () => ({
      dropped: sink.dropped,
      journalLostBytes: journal.lostBytes,
      journalStreams: journal.open,
    }),
  }
}

async function flushJournal(
  journal: Journal,
  sink: FdSink,
  timeoutMs: number,
  clock: Clock,
): Promise<boolean> {
  const startedAt = clock.monotonic()
  const flushed = await new Promise<boolean>((resolve) => {
    const deadline = clock.setTimer(timeoutMs, () => resolve(false))
    journal.whenFlushed(() => {
      deadline.cancel()
      resolve(true)
    })
  })
  // afterwards, since a stream that fails passes its lines to the sink
  const restMs = Math.max(0, timeoutMs - (clock.monotonic() - startedAt))
  return (await sink.flush(restMs)) && flushed
}

/** Longest batch, characters: a pipe with several writers takes up to 4096 bytes atomically (PIPE_BUF, pipe(7)). */
const BATCH_MAX_LENGTH = 4096

/** Joins the lines of one turn of the event loop into one write(2). At the start of a herd most lines come in such groups,
 *  and a write that wakes its reader costs more than building the line (measured: 0.1 to 0.3 ms). */
export interface Batch {
  /** Writes the line no later than the end of the turn. */
  add(line: string): void
  /** Writes the held lines. Call it before any other write, so that lines keep their order. */
  flush(): void
}

/** `write` receives one or more whole lines. `soon` schedules a callback at the end of the current turn. */
export function createBatch(
  write: (lines: string) => void,
  soon: (fn: () => void) => void = (fn) => process.nextTick(fn),
): Batch {
  let held = ''
  let planned = false
  const flush = (): void => {
    if (held === '') return
    const lines = held
    held = ''
    write(lines)
  }
  const end = (): void => {
    planned = false
    flush()
  }
  return {
    add(line) {
      if (held.length + line.length > BATCH_MAX_LENGTH) flush()
      held += line
      if (planned) return
      planned = true
      soon(end)
    },
    flush,
  }
}
