// A real herd in a real process: writes a config and worker modules into a short temporary folder, starts the compiled
// bin, reads its JSON log, asks its control socket, and leaves nothing behind.
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { Socket } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setTimeout as delay } from 'node:timers/promises'
import type { HerdConfig, WorkerConfig } from '../../src/config/types.ts'
import type { SupervisorStatus, WorkerStatus } from '../../src/herd/status.ts'
import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { cleanNode } from './clean-node.ts'
import { WAIT_MS, within } from './events.ts'

/** One line of the supervisor's output: the JSON record, or `{ raw }` for what is no JSON. */
export type LogLine = Readonly<Record<string, unknown>>

/** Fields a line must have: compared deeply for objects, tested for a RegExp, called for a function. */
export type Match = Readonly<Record<string, unknown>>

type PartialHerd = Omit<HerdConfig, 'name' | 'workers'> & {
  readonly name?: string
  readonly workers?: Readonly<Record<string, WorkerConfig>>
}

export interface HerdOptions {
  /** The config but for `module`, which is filled in for each worker of `workers`. A worker not listed here gets {}. */
  readonly config?: PartialHerd
  /** Source text of each worker's module, by worker name; written to workers/NAME.mjs. */
  readonly workers?: Readonly<Record<string, string>>
  /** Further files, by path relative to the folder. */
  readonly files?: Readonly<Record<string, string>>
  /** Put in front of the generated config's `export default`. */
  readonly configPreamble?: string
  /** After `supervise --config F --log-format json`. */
  readonly args?: readonly string[]
  /** Runs this worker with `byre run` instead of `supervise`. */
  readonly run?: string
  readonly env?: Readonly<Record<string, string>>
  /** What node runs. @default the compiled src/bin.ts */
  readonly bin?: string
  /** Flags of node itself. */
  readonly nodeArgs?: readonly string[]
  /** Its stdin. @default 'ignore': /dev/null */
  readonly stdin?: 'ignore' | 'pipe'
  /** What its stdout is: a socket, as every pipe that Node makes and as in a unit of systemd, or a pipe of the kernel.
   *  @default 'socket' */
  readonly stdout?: 'socket' | 'pipe'
  /** The folder of an earlier herd, to start again where that one ended. Its owner removes it. */
  readonly folder?: string
  /** Waits until the herd says that it is ready. @default true */
  readonly ready?: boolean
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The part of a tap test it needs. */
export interface Owner {
  teardown(fn: () => unknown): void
}

export interface Herd {
  readonly folder: string
  readonly pid: number
  readonly socketPath: string
  /** Everything it wrote so far, stdout and stderr. */
  readonly lines: readonly LogLine[]
  /** True once the process has ended. */
  readonly ended: boolean
  /** Position in `lines`, for `line` and `matching`. */
  mark(): number
  matching(match: Match, from?: number): LogLine[]
  /** The first line at or after `from` that matches, now or later. Rejects at the deadline and when the process ends without it. */
  line(match: Match, from?: number, timeoutMs?: number): Promise<LogLine>
  status(): Promise<SupervisorStatus>
  worker(name: string): Promise<WorkerStatus>
  /** Asks the status after every line it writes until `check` gives a value. */
  until<T>(
    what: string,
    check: (status: SupervisorStatus) => T | undefined | false,
    timeoutMs?: number,
  ): Promise<T>
  /** `until` for one worker. */
  untilWorker(
    name: string,
    check: (worker: WorkerStatus) => boolean,
    timeoutMs?: number,
  ): Promise<WorkerStatus>
  /** POST /workers/NAME/ACTION; resolves with the HTTP status and the reply. */
  act(
    worker: string,
    action: string,
    args?: object,
  ): Promise<{ readonly status: number; readonly body: Record<string, unknown> }>
  signal(signal: NodeJS.Signals): void
  /** The end of the process; rejects at the deadline. */
  exit(timeoutMs?: number): Promise<Ended>
  /** SIGTERM, then the end. */
  stop(timeoutMs?: number): Promise<Ended>
  kill(): Promise<void>
  /** Rewrites the config file. */
  configure(config: PartialHerd, workers?: Readonly<Record<string, string>>): void
}

export const BIN: string = resolve(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')

/** A fresh 0700 folder with a short path: a socket path may have 107 bytes. Removed at teardown. */
export function herdFolder(t: Owner): string {
  const folder = mkdtempSync('/tmp/bh-')
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export async function startHerd(t: Owner, options: HerdOptions = {}): Promise<Herd> {
  const folder = options.folder ?? herdFolder(t)
  for (const [path, text] of Object.entries(options.files ?? {})) writeText(join(folder, path), text)
  const configure = (config: PartialHerd, workers: Readonly<Record<string, string>> = {}): void =>
    writeConfig(folder, config, workers, options.configPreamble ?? '')
  if (options.config !== undefined || options.workers !== undefined)
    configure(options.config ?? {}, options.workers)
  const config = join(folder, 'byre.config.mjs')
  const pipe = options.stdout === 'pipe' ? openPipe(folder) : undefined
  const command = options.run === undefined ? ['supervise'] : ['run', options.run]
  const child = cleanNode(
    [
      ...(options.nodeArgs ?? []),
      options.bin ?? BIN,
      ...command,
      '--config',
      config,
      '--log-format',
      'json',
      ...(options.args ?? []),
    ],
    {
      cwd: folder,
      stdio: [options.stdin ?? 'ignore', pipe?.writeFd ?? 'pipe', 'pipe'],
      env: { RUNTIME_DIRECTORY: join(folder, 'run'), STATE_DIRECTORY: join(folder, 'state'), ...options.env },
    },
  )
  if (pipe !== undefined) closeSync(pipe.writeFd)
  const outputs = [pipe?.stream ?? child.stdout!, child.stderr!]
  const name = options.config?.name ?? 'h'
  const socketName = options.run === undefined ? '_all' : `run-${options.run}`
  const herd = observe(child, outputs, folder, join(folder, 'run', name, `${socketName}.sock`), configure)
  t.teardown(() => herd.kill())
  if (options.ready !== false) await herd.line({ event: 'ready' })
  return herd
}

function writeText(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

function writeConfig(
  folder: string,
  config: PartialHerd,
  workers: Readonly<Record<string, string>>,
  preamble: string,
): void {
  for (const [name, text] of Object.entries(workers)) writeText(join(folder, 'workers', `${name}.mjs`), text)
  const names = new Set([...Object.keys(workers), ...Object.keys(config.workers ?? {})])
  const entries = [...names].map((name) => [
    name,
    { module: `./workers/${name}.mjs`, ...config.workers?.[name] },
  ])
  const herd = { name: 'h', ...config, workers: Object.fromEntries(entries) }
  writeText(join(folder, 'byre.config.mjs'), `${preamble}\nexport default ${JSON.stringify(herd, null, 2)}\n`)
}

/** A pipe of the kernel: `stream` ends when every process that has its writing end has closed it. */
function openPipe(folder: string): { readonly writeFd: number; readonly stream: Readable } {
  const path = join(folder, 'stdout')
  execFileSync('mkfifo', [path])
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const stream = new Socket({ fd: readFd, readable: true, writable: false })
  return { writeFd: openSync(path, 'w'), stream }
}

function observe(
  child: ChildProcess,
  outputs: readonly Readable[],
  folder: string,
  socketPath: string,
  configure: Herd['configure'],
): Herd {
  const lines: LogLine[] = []
  let ended = false
  let waiting: (() => void)[] = []
  const changed = (): void => {
    const wake = waiting
    waiting = []
    for (const fn of wake) fn()
  }
  const closed = outputs.map(async (stream) => {
    for await (const text of textLines(stream)) {
      lines.push(parseLine(text))
      changed()
    }
  })
  const exit = new Promise<Ended>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  )
  void Promise.all(closed).then(() => {
    ended = true
    changed()
  })
  const change = (): Promise<void> => new Promise((wake) => waiting.push(wake))
  const seen = (): string =>
    `; its last lines were\n${lines
      .slice(-25)
      .map((line) => JSON.stringify(line).slice(0, 600))
      .join('\n')}`

  const line: Herd['line'] = async (match, from = 0, timeoutMs = WAIT_MS) => {
    const find = async (): Promise<LogLine> => {
      for (let i = from; ; i++) {
        while (i >= lines.length) {
          if (ended) throw new Error(`the process ended without the line ${show(match)}${seen()}`)
          await change()
        }
        if (matches(lines[i], match)) return lines[i]!
      }
    }
    return within(find(), `a line with ${show(match)}`, timeoutMs, seen)
  }
  const status = async (): Promise<SupervisorStatus> =>
    (await ask(socketPath, 'GET', '/workers')).body as unknown as SupervisorStatus
  const until: Herd['until'] = async (what, check, timeoutMs = WAIT_MS) => {
    let last: SupervisorStatus | undefined
    const find = async () => {
      for (;;) {
        if (ended) throw new Error(`the process ended before ${what}${seen()}`)
        last = await status().catch(notYetListening)
        const value = last === undefined ? undefined : check(last)
        if (value !== undefined && value !== false) return value
        // Counters change without a line too, so the question is repeated.
        await Promise.race([change(), delay(20)])
      }
    }
    return within(
      find(),
      what,
      timeoutMs,
      () =>
        `; the last status was ${JSON.stringify(last?.workers.filter((w) => what.includes(w.name)))}${seen()}`,
    )
  }
  const worker = async (name: string): Promise<WorkerStatus> => {
    const found = (await status()).workers.find((w) => w.name === name)
    if (found === undefined) throw new Error(`no worker '${name}' in the status`)
    return found
  }
  return {
    folder,
    pid: child.pid!,
    socketPath,
    lines,
    get ended() {
      return ended
    },
    mark: () => lines.length,
    matching: (match, from = 0) => lines.slice(from).filter((entry) => matches(entry, match)),
    line,
    status,
    worker,
    until,
    untilWorker: (name, check, timeoutMs) =>
      until(
        `worker ${name} to satisfy ${String(check)}`,
        (s) => s.workers.find((w) => w.name === name && check(w)),
        timeoutMs,
      ),
    act: (name, action, args) => ask(socketPath, 'POST', `/workers/${name}/${action}`, args),
    signal: (signal) => void child.kill(signal),
    exit: (timeoutMs) => within(exit, 'the end of the process', timeoutMs, seen),
    async stop(timeoutMs = WAIT_MS) {
      child.kill('SIGTERM')
      const result = await within(exit, 'the end after SIGTERM', timeoutMs, seen)
      await Promise.all(closed)
      return result
    },
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await within(exit, `the end of the killed process ${child.pid}`)
      await Promise.all(closed)
    },
    configure,
  }
}

function notYetListening(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ECONNREFUSED') throw error
}

async function* textLines(stream: Readable): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of stream.setEncoding('utf8')) {
    const parts = (rest + (chunk as string)).split('\n')
    rest = parts.pop() ?? ''
    yield* parts
  }
  if (rest !== '') yield rest
}

function parseLine(text: string): LogLine {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed === 'object' && parsed !== null) return parsed as LogLine
  } catch {}
  return { raw: text }
}

/** Does `value` have all of `match`? */
export function matches(value: unknown, match: unknown): boolean {
  if (match instanceof RegExp)
    return match.test(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
  if (typeof match === 'function') return Boolean((match as (value: unknown) => unknown)(value))
  if (typeof match !== 'object' || match === null) return value === match
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(match) && (!Array.isArray(value) || value.length !== match.length)) return false
  return Object.entries(match).every(([key, part]) => matches((value as Record<string, unknown>)[key], part))
}

/** Text of a match for messages: functions and patterns too. */
export function show(match: unknown): string {
  return JSON.stringify(match, (_, part: unknown) =>
    part instanceof RegExp || typeof part === 'function' ? String(part) : part,
  )
}

async function ask(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
  body?: object,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const text = body === undefined ? undefined : JSON.stringify(body)
  return within(
    new Promise((done, fail) => {
      const headers =
        text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
      const call = request({ socketPath, method, path, headers, agent: false }, (response) => {
        let all = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (all += chunk))
        response.on('error', fail)
        response.on('end', () => {
          try {
            done({ status: response.statusCode ?? 0, body: JSON.parse(all) as Record<string, unknown> })
          } catch (error) {
            fail(new Error(`${method} ${path} answered no JSON: ${all.slice(0, 500)}`, { cause: error }))
          }
        })
      })
      call.on('error', fail)
      call.end(text)
    }),
    `the answer to ${method} ${path}`,
  )
}
