// `byre profile` and POST /profile: runs V8's sampling profiler over a window, attributes the samples to workers, and keeps the raw
// profile in a file for Chrome DevTools and speedscope. Loaded with the first profile; one profile at a time.

import { Session } from 'node:inspector'
import type { HeapProfiler, Profiler } from 'node:inspector'
import { pathToFileURL } from 'node:url'
import type { Clock } from '../../base/clock.ts'
import { isRecord } from '../../base/check.ts'
import { ByreError, describeProblems } from '../../base/errors.ts'
import type { Problem } from '../../base/errors.ts'
import type { ControlTarget, ProfileReport, ProfileRequest, ProfileSource } from '../../herd/status.ts'
import { attribute, ownersOf } from './attribute.ts'
import type { CallNode } from './attribute.ts'
import { keepProfile } from './files.ts'

const WINDOW_MS: readonly [min: number, max: number] = [100, 60_000]
const CPU_INTERVAL_US = 1000
/** Longest time that one sample can stand for: beyond this the process waited for a core, which is no worker's CPU time. */
const SAMPLE_MAX_US = 5 * CPU_INTERVAL_US
const HEAP_INTERVAL_BYTES = 32_768

/** A request is in progress, for this loop or for that of a child. */
let requested = false
/** A profile of this loop is in progress: V8 has one heap sampler per isolate, so the end of one window would end another. */
let running = false

/**
 * Checks a request from outside and takes the profile. `windowMs` is 100 to 60,000 (default 5000), `kind` 'cpu' (default) or
 * 'heap'. Throws BYRE_ARGUMENT_INVALID, BYRE_CONTROL_BUSY while another request is in progress, BYRE_CONTROL_REFUSED when
 * `worker` cannot be profiled, BYRE_UNSUPPORTED when this process has no shared loop.
 */
export async function requestProfile(body: unknown, target: ControlTarget): Promise<ProfileReport> {
  const { worker, ...request } = parseRequest(body)
  const source = target.profileSource?.()
  if (source === undefined)
    throw new ByreError('BYRE_UNSUPPORTED', 'Cannot take a profile: this process hosts no shared loop.')
  if (requested)
    throw new ByreError(
      'BYRE_CONTROL_BUSY',
      'Cannot take a profile: another one is in progress. Try again when it has finished.',
    )
  requested = true
  try {
    const outside = worker === undefined ? 'shared' : source.outside(worker)
    if (outside === 'absent')
      throw new ByreError(
        'BYRE_CONTROL_REFUSED',
        `Cannot profile '${worker}': it has no run here that can be profiled. Start it first. A script can be profiled only in a process and with inside: true.`,
      )
    const { folder, label } = source
    return await (outside === 'shared'
      ? takeProfile(request, source)
      : outside({ ...request, folder, label }))
  } finally {
    requested = false
  }
}

function parseRequest(body: unknown): ProfileRequest {
  const given = isRecord(body) ? body : {}
  const { kind = 'cpu', windowMs = 5000, worker } = given
  const problems: Problem[] = []
  const unknown = Object.keys(given).find((key) => !['kind', 'windowMs', 'worker'].includes(key))
  if (unknown !== undefined)
    problems.push({
      path: unknown.slice(0, 40),
      message: 'unknown key; the known keys are kind, windowMs, worker',
    })
  if (kind !== 'cpu' && kind !== 'heap') problems.push({ path: 'kind', message: "must be 'cpu' or 'heap'" })
  const [min, max] = WINDOW_MS
  if (typeof windowMs !== 'number' || !(windowMs >= min && windowMs <= max))
    problems.push({ path: 'windowMs', message: `must be a number from ${min} to ${max}` })
  if (worker !== undefined && typeof worker !== 'string')
    problems.push({ path: 'worker', message: 'must be a name' })
  if (problems.length > 0)
    throw new ByreError('BYRE_ARGUMENT_INVALID', describeProblems('Cannot take a profile', problems))
  const request = { kind: kind as ProfileRequest['kind'], windowMs: windowMs as number }
  return typeof worker === 'string' ? { ...request, worker } : request
}

/** Profiles the loop of this thread. Rejects where there is no inspector, and with BYRE_CONTROL_BUSY while another profile of
 *  this loop is in progress. Blocks the loop for some milliseconds at both ends of the window. */
export async function takeProfile(
  { kind, windowMs }: ProfileRequest,
  deps: Omit<ProfileSource, 'outside'>,
): Promise<ProfileReport> {
  if (running)
    throw new ByreError(
      'BYRE_CONTROL_BUSY',
      'Cannot take a profile: another one of this loop is in progress. Try again when it has finished.',
    )
  running = true
  const session = new Session()
  try {
    session.connect()
    const startedAt = deps.clock.monotonic()
    const raw =
      kind === 'cpu'
        ? await sampleCpu(session, windowMs, deps.clock)
        : await sampleHeap(session, windowMs, deps.clock)
    const tookMs = Math.round(deps.clock.monotonic() - startedAt)
    const file = keepProfile(deps, kind, raw.text, deps.clock.now())
    const owners = await deps.owners()
    const { ownRoot } = owners
    const own = pathToFileURL(ownRoot).href
    const isByre = (url: string): boolean => url.startsWith(own) || url.startsWith(ownRoot)
    return {
      version: 1,
      kind,
      windowMs: tookMs,
      file,
      ...attribute(raw.root, ownersOf(owners, deps.only), isByre),
    }
  } finally {
    running = false
    session.disconnect()
  }
}

interface Raw {
  readonly root: CallNode
  readonly text: string
}

async function sampleCpu(session: Session, windowMs: number, clock: Clock): Promise<Raw> {
  await post(session, 'Profiler.enable')
  await post(session, 'Profiler.setSamplingInterval', { interval: CPU_INTERVAL_US })
  await post(session, 'Profiler.start')
  await elapsed(windowMs, clock)
  const { profile } = await post<Profiler.StopReturnType>(session, 'Profiler.stop')
  return { root: cpuTree(profile), text: JSON.stringify(profile) }
}

/** Samples what was allocated within the window and is still alive at its end. */
async function sampleHeap(session: Session, windowMs: number, clock: Clock): Promise<Raw> {
  await post(session, 'HeapProfiler.startSampling', { samplingInterval: HEAP_INTERVAL_BYTES })
  await elapsed(windowMs, clock)
  const { profile } = await post<HeapProfiler.StopSamplingReturnType>(session, 'HeapProfiler.stopSampling')
  return { root: heapTree(profile.head), text: JSON.stringify(profile) }
}

async function post<T>(session: Session, method: string, params: object = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    session.post(method, params, (error: Error | null, result?: object) => {
      // Not inside the callback: disconnecting there can hang.
      setImmediate(() => (error === null ? resolve(result as T) : reject(error)))
    })
  })
}

function elapsed(ms: number, clock: Clock): Promise<void> {
  return new Promise((resolve) => void clock.setTimer(ms, resolve))
}

function cpuTree(profile: Profiler.Profile): CallNode {
  const self = new Map<number, number>()
  const deltas = profile.timeDeltas ?? []
  // A delta is the time before its sample; a sampled function is assumed to run until the next sample.
  const charged = (deltaUs = 0): number => Math.min(SAMPLE_MAX_US, Math.max(0, deltaUs))
  profile.samples?.forEach((id, i) => self.set(id, (self.get(id) ?? 0) + charged(deltas[i + 1])))
  const byId = new Map(profile.nodes.map((node) => [node.id, node]))
  const build = (node: Profiler.ProfileNode): CallNode => ({
    ...frame(node.callFrame),
    self: self.get(node.id) ?? 0,
    children: (node.children ?? []).flatMap((id) => {
      const child = byId.get(id)
      return child === undefined ? [] : [build(child)]
    }),
  })
  const [root] = profile.nodes
  return root === undefined ? NOTHING : build(root)
}

function heapTree(node: HeapProfiler.SamplingHeapProfileNode): CallNode {
  return { ...frame(node.callFrame), self: node.selfSize, children: node.children.map(heapTree) }
}

const NOTHING: CallNode = { functionName: '(root)', url: '', line: 0, self: 0, children: [] }

function frame({
  functionName,
  url,
  lineNumber,
}: {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}): Pick<CallNode, 'functionName' | 'url' | 'line'> {
  return { functionName, url, line: lineNumber + 1 }
}
