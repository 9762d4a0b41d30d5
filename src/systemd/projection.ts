// Projects the memory of one unit for a group before a swap: loads the modules of its workers into one process together
// with byre's supervisor, and runs none of them.

import type { ChildProcess, StdioOptions } from 'node:child_process'
import { statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { describeThrown } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import type { ResolvedHerd, ResolvedWorker } from '../config/types.ts'
import { spawnClean } from '../measure/spawn-clean.ts'
import type { SideFigures } from './swap-journal.ts'

/** Memory of the projected unit; memory that workers use while they run is not included. */
export interface Projection {
  readonly pssBytes: number
  readonly anonBytes: number
  /** Number of modules loaded: those of workers with placement `shared`, dormant ones included. */
  readonly modules: number
}

export interface ProbeAnswer {
  readonly anonBytes?: number
  /** Resident file pages. */
  readonly fileBytes?: number
  readonly failed: readonly { readonly path: string; readonly message: string }[]
}

/** The flags and malloc setting of units/byre. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--expose-gc', '--no-warnings']
const MALLOC = { MALLOC_MMAP_THRESHOLD_: '32768' }
const PROBE = fileURLToPath(ownFile('systemd/projection-probe.js'))
const TIMEOUT_MS = 60_000
/** Time to read the remaining output after the process has ended, in ms: a child process of a module may hold its
 *  pipes open. */
const DRAIN_MS = 250
/** Only the end of the output is kept; in characters. */
const MAX_ANSWER = 1024 * 1024
const MAX_STDERR = 4096

export interface ProjectionRequest {
  readonly herd: Pick<ResolvedHerd, 'folder'>
  /** Workers of the group. */
  readonly workers: readonly ResolvedWorker[]
  /** Memory of the units that run now. */
  readonly before: SideFigures
  /** Main processes of the units that run now. The modules are loaded as the user of the first one, because loading
   *  runs their top-level code. */
  readonly mainPids: readonly number[]
}

/** Resolves with the projection, or with the reason why there is none. Never rejects; takes at most 60 s. */
export async function projectGroup({
  herd,
  workers,
  before,
  mainPids,
}: ProjectionRequest): Promise<Projection | { readonly unavailable: string }> {
  const user = ownerOf(mainPids.find((pid) => pid > 0))
  if (user === undefined) return { unavailable: 'no unit is running to compare with' }
  const own = process.geteuid?.()
  if (own !== 0 && own !== user.uid)
    return { unavailable: `only root can load the modules as their current user ${user.uid}` }
  const loaded = workers.filter(({ placement, source }) => placement === 'shared' && source.kind === 'module')
  const paths = [...new Set(loaded.map(({ source }) => source.path))]
  const answer = await runProbe(paths, herd.folder, user)
  if (typeof answer === 'string') return { unavailable: answer }
  const { anonBytes, fileBytes, failed } = answer
  if (failed.length > 0) {
    const [{ path, message }] = failed as [ProbeAnswer['failed'][number]]
    return {
      unavailable: `${failed.length} of its modules cannot be loaded without the worker, the first is ${path}: ${message}`,
    }
  }
  if (anonBytes === undefined || fileBytes === undefined)
    return { unavailable: 'the memory of the process could not be read' }
  // File pages: a single process is charged for those it maps alone, but never for more than all processes together
  // now.
  const { pssBytes: nowBytes, anonBytes: ownBytes } = before
  const mapped =
    nowBytes === undefined || ownBytes === undefined ? fileBytes : Math.min(fileBytes, nowBytes - ownBytes)
  const pssBytes = anonBytes + mapped
  return { pssBytes, anonBytes, modules: paths.length }
}

interface Owner {
  readonly uid: number
  readonly gid: number
}

function ownerOf(pid: number | undefined): Owner | undefined {
  try {
    return pid === undefined ? undefined : statSync(`/proc/${pid}`)
  } catch {
    return undefined // the process has ended
  }
}

async function runProbe(
  paths: readonly string[],
  cwd: string,
  { uid, gid }: Owner,
): Promise<ProbeAnswer | string> {
  const prefix =
    process.geteuid?.() === uid ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
  const command = [process.execPath, ...NODE_FLAGS, PROBE, ...paths]
  try {
    const stdio: StdioOptions = ['ignore', 'ignore', 'pipe', 'pipe']
    return await readAnswer(spawnClean(command, { prefix, cwd, env: MALLOC, stdio }))
  } catch (error) {
    return `the modules were not loaded: ${describeThrown(error).message}` // the process could not be started
  }
}

async function readAnswer(child: ChildProcess): Promise<ProbeAnswer | string> {
  const streams = [child.stdio[3], child.stderr] as [Readable, Readable]
  const answer = keepEnd(streams[0], MAX_ANSWER)
  const stderr = keepEnd(streams[1], MAX_STDERR)
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
  const end = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? code}`))
  })
  clearTimeout(timer)
  await drained(streams)
  const lastLine = stderr().trim().split('\n').at(-1) ?? ''
  const why = lastLine === '' ? end : `${end}: ${lastLine}`
  if (answer() === '') return `the modules were not loaded: ${why}`
  // A module may have written to the descriptor, or the process may have been killed while it wrote.
  return parseAnswer(answer()) ?? `the process that loaded the modules wrote an invalid result; ${why}`
}

/** Collects the last `limit` characters of `stream`. */
function keepEnd(stream: Readable, limit: number): () => string {
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => (text = (text + chunk).slice(-limit)))
  stream.on('error', () => {}) // the text read so far is used
  return () => text
}

/** Resolves when all streams have ended, or after DRAIN_MS; then destroys them. */
async function drained(streams: readonly Readable[]): Promise<void> {
  const open = streams.filter((stream) => !stream.closed)
  const closed = open.map((stream) => new Promise((resolve) => stream.once('close', resolve)))
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => (timer = setTimeout(resolve, DRAIN_MS)))
  await Promise.race([Promise.all(closed), late])
  clearTimeout(timer)
  for (const stream of streams) stream.destroy()
}

function parseAnswer(text: string): ProbeAnswer | undefined {
  try {
    const answer = JSON.parse(text) as ProbeAnswer | null
    return Array.isArray(answer?.failed) ? (answer as ProbeAnswer) : undefined
  } catch {
    return undefined
  }
}
