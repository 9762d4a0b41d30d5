// Runs a config file and returns its export. A config is code: it may throw, hang, exit or export a wrong value. Each of
// these becomes an error that names the file and, if known, the line.

import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Clock, systemClock } from '../base/clock.ts'
import { formatDurationMs } from '../base/durations.ts'
import { ByreError, describeThrown } from '../base/errors.ts'
import { parseJsonText } from './json-text.ts'
import { DEFAULT_EVALUATE_MS, loadError } from './load-error.ts'
import { redact, show } from './problems.ts'

export interface EvaluateOptions {
  /** Time limit for the top-level code, in ms. @default 10 s */
  readonly evaluateMs?: number
  readonly clock?: Clock
}

/** Wraps the export of a config, since an async function that returned an object with a `then` would call it. */
export interface Exported {
  readonly exported: unknown
}

/** Returns the default export of the config at the absolute path `file`, or its value when it is JSON. Node evaluates a
 *  module once per process, so a second call returns the first result (load-in-child.ts evaluates it again). Throws
 *  BYRE_CONFIG_INVALID. An endless synchronous loop can be interrupted only in a child process. */
export async function evaluateFile(file: string, options: EvaluateOptions = {}): Promise<Exported> {
  return extname(file) === '.json' ? readJson(file) : importModule(file, options)
}

async function readJson(file: string): Promise<Exported> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw loadError(file, `it cannot be read (${describeThrown(error).message})`, {}, error)
  })
  const text = decode(file, bytes)
  if (text.trim() === '')
    throw loadError(file, 'it is empty. It needs at least { "name": ..., "workers": { ... } }')
  const result = parseJsonText(text)
  if (result.ok) return { exported: result.value }
  throw loadError(file, result.reason, { line: result.line, column: result.column })
}

function decode(file: string, bytes: Buffer): string {
  const start = bytes.subarray(0, 3).toString('latin1')
  if (
    start === '\u00ef\u00bb\u00bf' ||
    start.startsWith('\u00ff\u00fe') ||
    start.startsWith('\u00fe\u00ff')
  ) {
    throw loadError(file, 'it begins with a byte order mark. Save it as UTF-8 without one', {
      line: 1,
      column: 1,
    })
  }
  const text = bytes.toString('utf8')
  if (!text.includes('\ufffd') || Buffer.from(text, 'utf8').equals(bytes)) return text
  const line = text.slice(0, text.indexOf('\ufffd')).split('\n').length
  throw loadError(file, 'it is not valid UTF-8', { line })
}

async function importModule(file: string, options: EvaluateOptions): Promise<Exported> {
  const restoreExit = refuseExit()
  const restoreOutput = redirectStdoutToStderr()
  try {
    const module = await withTimeout(
      file,
      import(pathToFileURL(file).href) as Promise<Record<string, unknown>>,
      options,
    )
    return { exported: defaultExport(file, module) }
  } catch (error) {
    throw error instanceof ByreError && error.code === 'BYRE_CONFIG_INVALID'
      ? error
      : await describeFailure(file, error)
  } finally {
    restoreExit()
    restoreOutput()
  }
}

/**
 * Sends the output of a config (a banner of dotenv, a forgotten console.log) to stderr, since stdout is reserved for the
 * result of the command. Returns a function that undoes it. The stdout stream is created only when the config prints. Output
 * of child processes and of fs.writeSync to descriptor 1 is not redirected.
 */
function redirectStdoutToStderr(): () => void {
  const undo: (() => void)[] = []
  let redirected: NodeJS.WriteStream | undefined
  const redirect = (stdout: NodeJS.WriteStream): NodeJS.WriteStream => {
    if (redirected === stdout) return stdout
    redirected = stdout
    const own = Object.getOwnPropertyDescriptor(stdout, 'write')
    stdout.write = ((...args: Parameters<typeof stdout.write>) =>
      process.stderr.write(...args)) as typeof stdout.write
    undo.push(() => {
      if (own === undefined) delete (stdout as Partial<NodeJS.WriteStream>).write
      else Object.defineProperty(stdout, 'write', own)
    })
    return stdout
  }
  // console caches its stream.
  for (const [holder, key] of [
    [process, 'stdout'],
    [console, '_stdout'],
  ] as const) {
    const original = Object.getOwnPropertyDescriptor(holder, key)
    if (original?.get === undefined) continue
    const read = original.get.bind(holder) as () => NodeJS.WriteStream
    Object.defineProperty(holder, key, { ...original, get: () => redirect(read()) })
    undo.push(() => Object.defineProperty(holder, key, original))
  }
  return () => {
    for (const each of undo.toReversed()) each()
  }
}

/** Makes process.exit throw. Otherwise a config that calls it would end the process without a message. */
function refuseExit(): () => void {
  const original = Object.getOwnPropertyDescriptor(process, 'exit')!
  const refuse = (code?: number | string | null): never => {
    throw new Error(`process.exit(${code ?? ''}) was called. A config must throw an error instead`)
  }
  Object.defineProperty(process, 'exit', { ...original, value: refuse })
  return () => {
    Object.defineProperty(process, 'exit', original)
  }
}

async function withTimeout<T>(file: string, work: Promise<T>, options: EvaluateOptions): Promise<T> {
  const { evaluateMs = DEFAULT_EVALUATE_MS, clock = systemClock } = options
  let stop = (): void => {}
  const timedOut = new Promise<never>((_, reject) => {
    // This timer keeps the process alive: Node exits with code 13 when only an unsettled top-level await remains.
    const timer = clock.setTimer(evaluateMs, () => {
      const reason = `its top-level code did not end within ${formatDurationMs(evaluateMs)}. Check for an await that never resolves`
      reject(loadError(file, reason))
    })
    stop = () => timer.cancel()
  })
  work.catch(() => {}) // After the timeout nothing else handles a later failure.
  try {
    return await Promise.race([work, timedOut])
  } finally {
    stop()
  }
}

function defaultExport(file: string, module: Record<string, unknown>): unknown {
  const remedy = 'Use: export default defineHerd({ ... })'
  if (!Object.hasOwn(module, 'default')) {
    const names = Object.keys(module).slice(0, 5)
    const got =
      names.length === 0 ? 'exports nothing' : `exports only ${names.map((n) => `'${n}'`).join(', ')}`
    throw loadError(file, `it has no default export (it ${got}). ${remedy}`)
  }
  const value = module['default']
  if (typeof value === 'function') {
    throw loadError(file, `its default export is a function. Export its result instead. ${remedy}`)
  }
  if (value instanceof Promise)
    throw loadError(file, `its default export is a promise. Add 'await' before it`)
  if (value === undefined) throw loadError(file, `its default export is undefined. ${remedy}`)
  return value
}

async function describeFailure(file: string, error: unknown): Promise<ByreError> {
  const { type, message, stack = '' } = describeThrown(error)
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  const text = redact(message)
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    const remedy = 'Use byre.config.mjs, or Node 22.18 or later, which strips types'
    return loadError(file, `Node ${process.versions.node} cannot run TypeScript files. ${remedy}`, {}, error)
  }
  if (type === 'SyntaxError') {
    const at = lineIn(file, stack) ?? (await checkSyntax(file))
    const where = at === undefined ? ' (in a module that it imports)' : ''
    return loadError(file, `${type}: ${text}${where}${syntaxHint(file, message)}`, at ?? {}, error)
  }
  const at = lineIn(file, stack)
  const elsewhere = at === undefined ? firstPlace(stack) : ''
  return loadError(file, `it threw ${type}: ${text.slice(0, 2000)}${elsewhere}`, at ?? {}, error)
}

/** The first frame of a stack outside Node, for errors of modules that the config imports. */
function firstPlace(stack: string): string {
  const match = /^\s+at (?:.*\()?((?:file:\/\/)?\/.*?:\d+):\d+\)?$/m.exec(stack)
  return match === null ? '' : ` (at ${show(match[1], 1024)})`
}

function syntaxHint(file: string, message: string): string {
  const looksLikeModule = /Unexpected token 'export'|Cannot use import statement/.test(message)
  if (!looksLikeModule || extname(file) !== '.js') return ''
  return '. Rename the config to byre.config.mjs, or set "type": "module" in its package.json'
}

/** The position of the first frame of `stack` in `file`. */
function lineIn(file: string, stack: string): { line: number; column?: number } | undefined {
  for (const place of [pathToFileURL(file).href, file]) {
    const at = stack.indexOf(`${place}:`)
    if (at === -1) continue
    const match = /^(\d+)(?::(\d+))?/.exec(stack.slice(at + place.length + 1))
    if (match === null) continue
    return { line: Number(match[1]), ...(match[2] === undefined ? {} : { column: Number(match[2]) }) }
  }
  return undefined
}

/** Finds the line of a syntax error. Node does not report it to the importer, but `node --check` prints it without running
 *  the file. */
async function checkSyntax(file: string): Promise<{ line: number } | undefined> {
  const { execFile } = await import('node:child_process')
  const output = await new Promise<string>((done) => {
    execFile(process.execPath, ['--check', file], { timeout: 5000, maxBuffer: 65_536 }, (_, __, stderr) =>
      done(stderr),
    )
  })
  return lineIn(file, output)
}
