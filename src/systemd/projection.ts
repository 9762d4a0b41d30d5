// What one unit for a group would take, measured before anything is swapped: the modules of its workers loaded into one
// process beside byre's own supervisor, none of them run.

import type { ChildProcess, StdioOptions } from 'node:child_process'
import { statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { describeThrown } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import type { ResolvedHerd, ResolvedWorker } from '../config/types.ts'
import { spawnClean } from '../measure/spawn-clean.ts'
import type { SideFigures } from './swap-journal.ts'

/** The unit that is projected; what workers take while they work comes on top. */
export interface Projection {
  readonly pssBytes: number
  readonly anonBytes: number
  /** Modules that were loaded: those of workers of placement `shared`, also of those that sleep until they are woken. */
  readonly modules: number
}

export interface ProbeAnswer {
  readonly anonBytes?: number
  /** Resident pages of files. */
  readonly fileBytes?: number
  readonly failed: readonly { readonly path: string; readonly message: string }[]
}

/** As units/byre starts a host. */
const NODE_FLAGS = ['--max-semi-space-size=1', '--expose-gc', '--no-warnings']
const MALLOC = { MALLOC_MMAP_THRESHOLD_: '32768' }
const PROBE = fileURLToPath(ownFile('systemd/projection-probe.js'))
const TIMEOUT_MS = 60_000
/** What a process wrote is read for so long after its end, milliseconds: a child of a module may hold its pipes open. */
const DRAIN_MS = 250
/** The last of what it wrote is kept, characters. */
const MAX_ANSWER = 1024 * 1024
const MAX_COMPLAINT = 4096

export interface ProjectionRequest {
  readonly herd: Pick<ResolvedHerd, 'folder'>
  /** Of the group. */
  readonly workers: readonly ResolvedWorker[]
  /** What runs now. */
  readonly before: SideFigures
  /** Main processes of the units that run now: the first one's user loads the modules, which runs their top level. */
  readonly mainPids: readonly number[]
}

/** The projection, or in one clause why there is none. Never rejects; takes as long as the modules load, 60 s at most. */
export async function projectGroup({
  herd,
  workers,
  before,
  mainPids,
}: ProjectionRequest): Promise<Projection | { readonly unavailable: string }> {
  const user = ownerOf(mainPids.find((pid) => pid > 0))
  if (user === undefined) return { unavailable: 'nothing runs that it could be compared with' }
  const own = process.geteuid?.()
  if (own !== 0 && own !== user.uid)
    return { unavailable: `only root can load the modules as user ${user.uid}, who runs them now` }
  const loaded = workers.filter(({ placement, source }) => placement === 'shared' && source.kind === 'module')
  const paths = [...new Set(loaded.map(({ source }) => source.path))]
  const answer = await runProbe(paths, herd.folder, user)
  if (typeof answer === 'string') return { unavailable: answer }
  const { anonBytes, fileBytes, failed } = answer
  if (failed.length > 0) {
    const [{ path, message }] = failed as [ProbeAnswer['failed'][number]]
    return {
      unavailable: `${failed.length} of its modules cannot be loaded alone, ${path} first: ${message}`,
    }
  }
  if (anonBytes === undefined || fileBytes === undefined)
    return { unavailable: 'its memory could not be read' }
  // Pages of files: one process pays for those it maps alone, and never more than all of them pay together now.
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
    return undefined // it has just ended
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
    return await hear(spawnClean(command, { prefix, cwd, env: MALLOC, stdio }))
  } catch (error) {
    return `the modules were not loaded: ${describeThrown(error).message}` // it could not be started at all
  }
}

async function hear(child: ChildProcess): Promise<ProbeAnswer | string> {
  const streams = [child.stdio[3], child.stderr] as [Readable, Readable]
  const answer = keepEnd(streams[0], MAX_ANSWER)
  const complaint = keepEnd(streams[1], MAX_COMPLAINT)
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
  const end = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? code}`))
  })
  clearTimeout(timer)
  await drained(streams)
  const said = complaint().trim().split('\n').at(-1) ?? ''
  const why = said === '' ? end : `${end}: ${said}`
  if (answer() === '') return `the modules were not loaded: ${why}`
  // a module may have written to the descriptor, or the process have been killed while it did
  return parseAnswer(answer()) ?? `what the process that loaded the modules answered is no answer; ${why}`
}

/** The last `limit` characters that came through `stream` so far. */
function keepEnd(stream: Readable, limit: number): () => string {
  let text = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => (text = (text + chunk).slice(-limit)))
  stream.on('error', () => {}) // what came is what there is
  return () => text
}

/** Resolves when all have ended, after DRAIN_MS at the latest; then they are closed. */
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
