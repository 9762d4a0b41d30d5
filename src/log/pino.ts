// The one file that imports pino: loggers of workers. Synchronously and late, because a worker's logger is asked for in
// the middle of its start; through require, because importing a CommonJS package costs 0.2 MB more.

import type { Logger as PinoLogger, pino as createPino } from 'pino'
import { describeThrown } from '../base/errors.ts'
import { withOriginalJson } from '../base/json.ts'
import { lazyRequire } from '../base/lazy.ts'
import { childFields, lineFields, readable, readCall, serialise } from './call.ts'
import { errorFields } from './error-fields.ts'
import { LEVEL_NUMBERS } from './levels.ts'
import type { Logger, LogLevel } from './logger.ts'

const pino = lazyRequire<typeof createPino>('pino', import.meta.url)

export interface WorkerLoggersOptions {
  readonly level: LogLevel | 'silent'
  readonly now: () => number
  /** One line of JSON with its newline, its level's number, and the worker whose logger (or a child of it) wrote it. */
  readonly write: (line: string, level: number, worker: string) => void
  /** False holds the line back. */
  readonly admit: (worker: string, level: LogLevel, fields: unknown, message: unknown) => boolean
}

export interface WorkerLoggers {
  /** A new pino child tagged `worker`. Children of it follow its level until they set their own. */
  create(worker: string): Logger
  /** The level of every worker that has none of its own. */
  setLevel(level: LogLevel | 'silent'): void
}

/** Loads pino (some 30 ms) on the first `create`. */
export function createWorkerLoggers(options: WorkerLoggersOptions): WorkerLoggers {
  let level = options.level
  let root: PinoLogger | undefined
  let pinoChild: MakeChild
  return {
    create(worker) {
      if (root === undefined) {
        root = createRoot({ ...options, level })
        pinoChild = takeChildrenSafely(root)
      }
      const child = pinoChild.call(root, { worker })
      Object.defineProperty(child, WORKER, { value: worker })
      return child as unknown as Logger
    },
    setLevel(next) {
      level = next
      if (root !== undefined) root.level = next
    },
  }
}

/** On a worker's child; children of that inherit it. Says whose line it is without reading the line. */
const WORKER: unique symbol = Symbol('byre.worker')

function workerOf(logger: object): string {
  return (logger as { [WORKER]?: string })[WORKER] ?? ''
}

const LABELS = new Map(Object.entries(LEVEL_NUMBERS).map(([label, number]) => [number, label as LogLevel]))

function createRoot(options: WorkerLoggersOptions): PinoLogger {
  const create = withOriginalJson(() => pino.get())
  const root = create(
    {
      base: null,
      level: options.level,
      timestamp: () => `,"time":${options.now()}`,
      serializers: { err: errorFields },
      hooks: {
        logMethod(args, method, level) {
          const call = readCall(args)
          const label = LABELS.get(level) ?? 'info'
          if (!options.admit(workerOf(this), label, call.fields ?? call.text, call.text)) return
          writeSafely(
            (fields) => withOriginalJson(() => method.call(this, fields, call.text as string)),
            lineFields(call, true) ?? {},
          )
        },
      },
    },
    createDestination(options.write),
  )
  Object.defineProperty(root, create.symbols.stringifySym, { value: serialise, writable: true })
  return root
}

/** pino reads the fields itself and passes on what a getter throws; the line is written after that. */
function writeSafely(write: (fields: object) => void, fields: object): void {
  try {
    write(fields)
  } catch {
    try {
      write(readable(fields))
    } catch (error) {
      write({ unreadable: describeThrown(error).message }) // a serialiser the worker gave its child
    }
  }
}

/** pino leaves out some bindings, lets others overwrite what every line has, and throws at what it cannot read. Returns its own way. */
function takeChildrenSafely(root: PinoLogger): MakeChild {
  const holder = root as unknown as { child: MakeChild }
  const { child } = holder
  holder.child = function (this: PinoLogger, bindings: unknown, options?: object) {
    return withOriginalJson(() => child.call(this, childFields(bindings), options))
  }
  return child
}

type MakeChild = (this: PinoLogger, bindings: unknown, options?: object) => PinoLogger

/**
 * A pino destination that is told level and logger of each line (pino's documented 'pino.metadata'). No SonicBoom: that
 * one blocks or grows without bound on a full pipe, and registers exit hooks.
 */
function createDestination(write: WorkerLoggersOptions['write']): { write(line: string): void } {
  const metadata: { [key: PropertyKey]: unknown; lastLevel: number; lastLogger: object | undefined } = {
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    lastLogger: undefined,
  }
  return Object.assign(metadata, {
    write(line: string) {
      const { lastLevel, lastLogger } = metadata
      // do not keep what was logged last alive
      metadata.lastLogger = undefined
      metadata['lastObj'] = undefined
      metadata['lastMsg'] = undefined
      write(line, lastLevel, lastLogger === undefined ? '' : workerOf(lastLogger))
    },
  })
}
