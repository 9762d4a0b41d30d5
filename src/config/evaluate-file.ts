// Runs a config file and returns what it exports. A config is code: it may throw, hang, exit or export the wrong thing;
// each of these becomes one error that names the file and, where it is known, the line.

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
  /** How long top-level code may take. @default 10 s */
  readonly evaluateMs?: number
  readonly clock?: Clock
}

/** What a config exports, wrapped: returned bare from an async function, an object with a `then` would be called. */
export interface Exported {
  readonly exported: unknown
}

/** The default export of the config at the absolute path `file`, or its JSON. A module is evaluated once per process:
 *  a second call gives the first answer (load-in-child.ts evaluates afresh). Throws BYRE_CONFIG_INVALID. An endless
 *  synchronous loop cannot be interrupted from here, only in the child. */
export async function evaluateFile(file: string, options: EvaluateOptions = {}): Promise<Exported> {
  return extname(file) === '.json' ? readJson(file) : importModule(file, options)
}

async function readJson(file: string): Promise<Exported> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw loadError(file, `it cannot be read (${describeThrown(error).message})`, {}, error)
  })
  const text = decode(file, bytes)
  if (text.trim() === '')
    throw loadError(file, 'it is empty. Write at least { "name": ..., "workers": { ... } }')
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
  const restoreOutput = printToStderr()
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
 * Until it is undone, what a config prints (a banner of dotenv, a forgotten console.log) goes to stderr: stdout is for what the
 * command answers. The stream is made only when something is printed. What a child of the config prints, or an fs.writeSync
 * to descriptor 1, is not seen from here.
 */
function printToStderr(): () => void {
  const undo: (() => void)[] = []
  let taken: NodeJS.WriteStream | undefined
  const take = (stdout: NodeJS.WriteStream): NodeJS.WriteStream => {
    if (taken === stdout) return stdout
    taken = stdout
    const own = Object.getOwnPropertyDescriptor(stdout, 'write')
    stdout.write = ((...args: Parameters<typeof stdout.write>) =>
      process.stderr.write(...args)) as typeof stdout.write
    undo.push(() => {
      if (own === undefined) delete (stdout as Partial<NodeJS.WriteStream>).write
      else Object.defineProperty(stdout, 'write', own)
    })
    return stdout
  }
  // console keeps the stream it once asked for
  for (const [holder, key] of [
    [process, 'stdout'],
    [console, '_stdout'],
  ] as const) {
    const original = Object.getOwnPropertyDescriptor(holder, key)
    if (original?.get === undefined) continue
    const read = original.get.bind(holder) as () => NodeJS.WriteStream
    Object.defineProperty(holder, key, { ...original, get: () => take(read()) })
    undo.push(() => Object.defineProperty(holder, key, original))
  }
  return () => {
    for (const each of undo.toReversed()) each()
  }
}

/** A config that ends the process would end it without a word; here it fails like one that throws. */
function refuseExit(): () => void {
  const original = Object.getOwnPropertyDescriptor(process, 'exit')!
  const refuse = (code?: number | string | null): never => {
    throw new Error(`process.exit(${code ?? ''}) was called. A config is data: throw an error instead`)
  }
  Object.defineProperty(process, 'exit', { ...original, value: refuse })
  return () => {
    Object.defineProperty(process, 'exit', original)
  }
}

async function withTimeout<T>(file: string, work: Promise<T>, options: EvaluateOptions): Promise<T> {
  const { evaluateMs = DEFAULT_EVALUATE_MS, clock = systemClock } = options
  let stop = (): void => {}
  const late = new Promise<never>((_, reject) => {
    // Keeps the process alive on purpose: Node exits with code 13 when only an unsettled top-level await is left.
    const timer = clock.setTimer(evaluateMs, () => {
      const reason = `its top-level code did not end within ${formatDurationMs(evaluateMs)}. Look for an await that never resolves`
      reject(loadError(file, reason))
    })
    stop = () => timer.cancel()
  })
  work.catch(() => {}) // when the timeout wins, a later failure has nobody left to hear it
  try {
    return await Promise.race([work, late])
  } finally {
    stop()
  }
}

function defaultExport(file: string, module: Record<string, unknown>): unknown {
  const remedy = 'Write: export default defineHerd({ ... })'
  if (!Object.hasOwn(module, 'default')) {
    const names = Object.keys(module).slice(0, 5)
    const got =
      names.length === 0 ? 'exports nothing' : `exports only ${names.map((n) => `'${n}'`).join(', ')}`
    throw loadError(file, `it has no default export (it ${got}). ${remedy}`)
  }
  const value = module['default']
  if (typeof value === 'function') {
    throw loadError(file, `its default export is a function. Call it and export the result. ${remedy}`)
  }
  if (value instanceof Promise)
    throw loadError(file, `its default export is a promise. Write 'await' before it`)
  if (value === undefined) throw loadError(file, `its default export is undefined. ${remedy}`)
  return value
}

async function describeFailure(file: string, error: unknown): Promise<ByreError> {
  const { type, message, stack = '' } = describeThrown(error)
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  const text = redact(message)
  if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    const remedy = 'Use byre.config.mjs, or Node >= 22.18, which strips types'
    return loadError(
      file,
      `Node ${process.versions.node} does not run TypeScript files. ${remedy}`,
      {},
      error,
    )
  }
  if (type === 'SyntaxError') {
    const at = lineIn(file, stack) ?? (await checkSyntax(file))
    const where = at === undefined ? ' (in a module it imports)' : ''
    return loadError(file, `${type}: ${text}${where}${syntaxHint(file, message)}`, at ?? {}, error)
  }
  const at = lineIn(file, stack)
  const elsewhere = at === undefined ? firstPlace(stack) : ''
  return loadError(file, `it threw ${type}: ${text.slice(0, 2000)}${elsewhere}`, at ?? {}, error)
}

/** Where a stack begins outside Node: for what a module throws that the config imports. */
function firstPlace(stack: string): string {
  const match = /^\s+at (?:.*\()?((?:file:\/\/)?\/.*?:\d+):\d+\)?$/m.exec(stack)
  return match === null ? '' : ` (at ${show(match[1], 1024)})`
}

function syntaxHint(file: string, message: string): string {
  const looksLikeModule = /Unexpected token 'export'|Cannot use import statement/.test(message)
  if (!looksLikeModule || extname(file) !== '.js') return ''
  return '. Rename it to byre.config.mjs, or set "type": "module" in its package.json'
}

/** The first line of `stack` that lies in `file`. */
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

/** Node keeps the line of a syntax error to itself; `node --check` prints it and runs nothing. */
async function checkSyntax(file: string): Promise<{ line: number } | undefined> {
  const { execFile } = await import('node:child_process')
  const output = await new Promise<string>((done) => {
    execFile(process.execPath, ['--check', file], { timeout: 5000, maxBuffer: 65_536 }, (_, __, stderr) =>
      done(stderr),
    )
  })
  return lineIn(file, output)
}
