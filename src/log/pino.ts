// The loggers of workers in the shared loop, and the only file that imports pino. It loads pino on first use with require():
// a worker's start needs its logger synchronously, and import() of a CommonJS package costs 0.2 MB more.

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
  /** Called with one JSON line, newline included, the number of its level, and the worker that logged it. */
  readonly write: (line: string, level: number, worker: string) => void
  /** Returns false to drop the line. */
  readonly admit: (worker: string, level: LogLevel, fields: unknown, message: unknown) => boolean
}

export interface WorkerLoggers {
  /** A new pino child tagged `worker`. Its children use its level until theirs is set. */
  create(worker: string): Logger
  /** Sets the level of every worker without a separate level. */
  setLevel(level: LogLevel | 'silent'): void
}

/** Loads pino (about 30 ms) on the first `create`. */
export function createWorkerLoggers(options: WorkerLoggersOptions): WorkerLoggers {
  let level = options.level
  let root: PinoLogger | undefined
  let pinoChild: MakeChild
  return {
    create(worker) {
      if (root === undefined) {
        root = createRoot({ ...options, level })
        pinoChild = makeChildSafe(root)
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

/** The worker of a logger. Child loggers inherit it; it identifies the worker of a line without parsing the line. */
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

/** pino throws when a getter of the fields throws; the line is then written with the readable members. */
function writeSafely(write: (fields: object) => void, fields: object): void {
  try {
    write(fields)
  } catch {
    try {
      write(readable(fields))
    } catch (error) {
      write({ unreadable: describeThrown(error).message }) // a serialiser that the worker passed to child() throws
    }
  }
}

/** Replaces `child` of `root` and returns the original: pino drops some bindings, lets others override standard members, and
 *  throws on unreadable ones. */
function makeChildSafe(root: PinoLogger): MakeChild {
  const holder = root as unknown as { child: MakeChild }
  const { child } = holder
  holder.child = function (this: PinoLogger, bindings: unknown, options?: object) {
    return withOriginalJson(() => child.call(this, childFields(bindings), options))
  }
  return child
}

type MakeChild = (this: PinoLogger, bindings: unknown, options?: object) => PinoLogger

/**
 * A pino destination that receives the level and logger of each line (pino's documented 'pino.metadata'). Not SonicBoom, which
 * blocks or buffers without limit on a full pipe, and registers exit hooks.
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
      // do not keep the last logged values alive
      metadata.lastLogger = undefined
      metadata['lastObj'] = undefined
      metadata['lastMsg'] = undefined
      write(line, lastLevel, lastLogger === undefined ? '' : workerOf(lastLogger))
    },
  })
}
