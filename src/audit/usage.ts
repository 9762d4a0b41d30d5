// Detects heavy packages that are imported but not used: runs the program once more under the witness
// (child/witness.ts), either while it loads, or for real until it is ready or could receive its first message. This run
// is never measured.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { deferred } from '../base/deferred.ts'
import { ByreError } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import { spawnClean } from '../measure/spawn-clean.ts'
import type { WitnessResult } from './child/witness-preload.ts'
import type { Entry } from './entry.ts'
import type { ModuleGraph } from './module-graph.ts'
import type { ResolvedAuditOptions } from './options.ts'
import type { UsageReport } from './result.ts'
import { packageCosts } from './savings.ts'
import type { Session } from './session.ts'

const MAX_WATCHED = 20
const MAX_RESULT = 64 * 1024
const MAX_STDERR = 4096
/** Time the program has to stop after the result was received. */
const STOP_MS = 5000

/** The packages that were used until `options.until`. When the program cannot load under the witness the report is
 *  omitted; the audit does not fail. Rejects with BYRE_AUDIT_WITNESS when the program should run for real but did
 *  not become ready. */
export async function witnessUsage(
  session: Session,
  options: ResolvedAuditOptions,
  graph: ModuleGraph,
): Promise<UsageReport | undefined> {
  const names = packageCosts(graph)
    .filter((p) => p.retainedBytes >= options.heavyBytes && !p.name.startsWith('node:'))
    .slice(0, MAX_WATCHED)
    .map((p) => p.name)
  if (names.length === 0) return undefined
  const { until } = options
  if (until !== 'loaded') {
    const [entry] = options.entries
    const [answer] = await session.all('usage', [() => runForReal(session, options, entry!, names)], 1)
    return { until, packages: names.map((name) => verdictOf(name, answer!)) }
  }
  try {
    const [run] = await session.all('usage', [() => session.watched(options.entries, names)], 1)
    const found = run?.error === undefined ? run?.witness : undefined
    return found === undefined ? undefined : { until, packages: names.map((name) => verdictOf(name, found)) }
  } catch (error) {
    if (error instanceof ByreError || options.signal.aborted) return undefined
    throw error
  }
}

function verdictOf(name: string, found: WitnessResult): UsageReport['packages'][number] {
  const firstUse = found.firstUse[name]
  if (firstUse !== undefined) return { name, verdict: 'touched', firstUse }
  return { name, verdict: found.seen.includes(name) ? 'untouched' : 'unseen' }
}

/** Runs the program for real: a worker under `byre run`, with a separate runtime and state folder, so that it does
 *  not conflict with a running one. */
function runForReal(
  session: Session,
  options: ResolvedAuditOptions,
  entry: Entry,
  names: readonly string[],
): Promise<WitnessResult> {
  const folder = join(session.folder, 'run')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: process.env['HOME'] ?? '/',
    XDG_RUNTIME_DIR: folder,
    XDG_STATE_HOME: folder,
    ...options.env,
    BYRE_WITNESS: names.join(','),
    BYRE_WITNESS_UNTIL: options.until,
  }
  const { worker } = entry
  const program =
    worker === undefined
      ? [fileURLToPath(entry.url), ...options.arguments]
      : [fileURLToPath(ownFile('bin.js')), 'run', worker.name, '--config', worker.configFile]
  const command = [
    options.nodePath,
    '--no-warnings',
    ...options.nodeArguments,
    '--import',
    fileURLToPath(ownFile('audit/child/witness-preload.js')),
    ...program,
  ]
  const { promise, resolve, reject } = deferred<WitnessResult>()
  const child = spawnClean(command, { env, cwd: options.cwd, stdio: ['ignore', 'ignore', 'pipe', 'pipe'] })
  const kill = (): void => void child.kill('SIGKILL')
  let timer = setTimeout(kill, options.childTimeoutMs)
  options.signal.addEventListener('abort', kill)
  let [result, stderr] = ['', '']
  child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
    stderr = (stderr + chunk).slice(-MAX_STDERR)
  })
  const pipe = child.stdio[3] as NodeJS.ReadableStream
  pipe.setEncoding('utf8').on('data', (chunk: string) => {
    if (result.length < MAX_RESULT) result += chunk
    clearTimeout(timer)
    timer = setTimeout(kill, STOP_MS)
  })
  child.on('error', reject)
  child.on('close', (code, signal) => {
    clearTimeout(timer)
    options.signal.removeEventListener('abort', kill)
    if (options.signal.aborted) reject(options.signal.reason as Error)
    else if (result === '') reject(neverReady(entry, options.until, signal ?? `code ${code}`, stderr))
    else resolve(JSON.parse(result) as WitnessResult)
  })
  return promise
}

function neverReady(entry: Entry, until: string, end: string, stderr: string): ByreError {
  return new ByreError(
    'BYRE_AUDIT_WITNESS',
    `Cannot watch '${entry.name}' until '${until}': it ended with ${end} before it was ready` +
      `${stderr === '' ? '' : `; stderr: ${stderr.trim()}`}. A program that is not a worker must call markReady() of byre/guard. ` +
      'Set the environment it needs with --env, or audit without --until.',
  )
}
