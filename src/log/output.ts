// Where lines go out, by format: one descriptor, or journald with a stream per active worker and the descriptor to fall
// back on.

import type { Clock } from '../base/clock.ts'
import { createBatch } from './batch.ts'
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
  /** For what the output has to say about itself: lines lost, journald gone. */
  readonly tell: (level: LogLevel, fields: object, message: string) => void
}

/** Whose line it is, and the stream it has open. */
export interface Source {
  readonly name: string
  readonly active: boolean
  stream: JournalStream | undefined
}

export interface Output {
  /** Takes one JSON line with its newline. Never throws, never waits. */
  write(line: string, source: Source | undefined): void
  /** As write, but the line may wait for the end of this turn of the loop. What is written later still comes after it. */
  writeSoon(line: string, source: Source | undefined): void
  writeSync(line: string, timeoutMs: number): void
  /** True once the kernel has everything, false when `timeoutMs` passed first. */
  flush(timeoutMs: number): Promise<boolean>
  close(): void
  counts(): { readonly dropped: number; readonly journalLostBytes: number; readonly journalStreams: number }
}

/** Loads only what the format needs. */
export async function createOutput(format: LogFormat, options: OutputOptions): Promise<Output> {
  const sink = await createFdSink({
    fd: options.fd,
    clock: options.clock,
    onFlowing: (dropped) =>
      options.tell(
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
    writeSoon: (line) => batch.add(text(line)),
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
    // '<6>text' of a worker's stream becomes '<6>[byre-webhook] text'
    fallback: (line, identifier) =>
      sink.write(identifier === 'byre' ? line : line.replace('>', `>[${identifier}] `)),
    onOutage(reason) {
      if (reason === undefined)
        options.tell('info', { event: 'journal-back' }, 'journald can be reached again')
      else
        options.tell(
          'warn',
          { event: 'journal-unreachable', reason },
          'Cannot reach journald: lines of all workers go to stdout, tagged',
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
    writeSoon: write, // a line a message there
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
  // afterwards, since a stream that failed hands its lines to the sink
  const restMs = Math.max(0, timeoutMs - (clock.monotonic() - startedAt))
  return (await sink.flush(restMs)) && flushed
}
