// `byre profile`: V8's sampling profilers over a window of the shared loop, charged to its workers, and the raw profile in a
// file for Chrome DevTools and speedscope. Loaded when asked for; one at a time.

import { Session } from 'node:inspector'
import type { HeapProfiler, Profiler } from 'node:inspector'
import { pathToFileURL } from 'node:url'
import type { Clock } from '../../base/clock.ts'
import { ByreError } from '../../base/errors.ts'
import type { ProfileReport, ProfileRequest, ProfileSource } from '../../herd/status.ts'
import { attribute } from './attribute.ts'
import type { CallNode } from './attribute.ts'
import { keepProfile } from './files.ts'
import { ownersOf } from './owners.ts'

const CPU_INTERVAL_US = 1000
/** What a sample stands for at most: beyond it the process waited for a core, which is nobody's CPU. */
const SAMPLE_MAX_US = 5 * CPU_INTERVAL_US
const HEAP_INTERVAL_BYTES = 32_768

/** V8 has one heap sampler for an isolate: the end of one window would end that of another. */
let running = false

/** Rejects where there is no inspector, and with BYRE_CONTROL_BUSY while another is taken of this loop. The loop is held for some milliseconds at both ends of the window. */
export async function takeProfile(
  { kind, windowMs }: ProfileRequest,
  deps: Omit<ProfileSource, 'outside'>,
): Promise<ProfileReport> {
  if (running)
    throw new ByreError(
      'BYRE_CONTROL_BUSY',
      'Cannot take a profile: another one of this loop is being taken. Ask again when it is done.',
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
    const own = pathToFileURL(deps.ownRoot).href
    const isByre = (url: string): boolean => url.startsWith(own) || url.startsWith(deps.ownRoot)
    return {
      version: 1,
      kind,
      windowMs: tookMs,
      file,
      ...attribute(raw.root, ownersOf(deps.members), isByre),
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

/** What was allocated within the window and still lives at its end. */
async function sampleHeap(session: Session, windowMs: number, clock: Clock): Promise<Raw> {
  await post(session, 'HeapProfiler.startSampling', { samplingInterval: HEAP_INTERVAL_BYTES })
  await elapsed(windowMs, clock)
  const { profile } = await post<HeapProfiler.StopSamplingReturnType>(session, 'HeapProfiler.stopSampling')
  return { root: heapTree(profile.head), text: JSON.stringify(profile) }
}

async function post<T>(session: Session, method: string, params: object = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    session.post(method, params, (error: Error | null, result?: object) => {
      // Out of the inspector's own call: it must not be disconnected within one.
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
  // A delta is the time before its sample: what was sampled has run until the next one.
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
