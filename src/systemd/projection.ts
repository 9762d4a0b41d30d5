// What one unit for a group would take, measured before anything is swapped: the modules of its workers loaded into one
// process beside byre's own supervisor, none of them run.

import { statSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
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
const PROBE = fileURLToPath(new URL('projection-probe.js', import.meta.url))
const TIMEOUT_MS = 60_000

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
  const pssBytes = anonBytes + Math.min(fileBytes, before.pssBytes - before.anonBytes)
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
  const child = spawnClean([process.execPath, ...NODE_FLAGS, PROBE, ...paths], {
    prefix,
    cwd,
    env: MALLOC,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? code}`))
  })
  const [answer, complaint] = await Promise.all([
    text(child.stdio[3] as Readable).catch(() => ''),
    text(child.stderr as Readable).catch(() => ''),
  ])
  const end = await ended
  clearTimeout(timer)
  if (answer !== '') return JSON.parse(answer) as ProbeAnswer
  return `the modules were not loaded: ${end}${complaint === '' ? '' : `: ${complaint.trim().split('\n').at(-1)}`}`
}
