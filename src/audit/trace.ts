// Reads what the probe wrote: four doubles a record and one line a name (see child/job.ts, EVENT).

import { readFile } from 'node:fs/promises'
import { ByreError } from '../base/errors.ts'
import { EVENT } from './child/job.ts'

export type TraceEvent = {
  readonly type: number
  /** The name the event carries, or undefined. */
  readonly name: string | undefined
  /** Used heap + external at the event, and after the collection it caused, if any. */
  readonly rawBytes: number
  readonly settledBytes: number | undefined
}

export interface TraceEdge {
  /** 'internal': Node's own code wants another of Node's own modules; no statement of the program stands for it. */
  readonly kind: 'import' | 'require' | 'builtin' | 'internal'
  readonly from: string
  readonly to: string
  /** As written in the source; absent for edges read from the module tree. */
  readonly specifier: string | undefined
}

export interface Trace {
  readonly events: readonly TraceEvent[]
  readonly edges: readonly TraceEdge[]
  /** URLs of what an ES module imported though it is none: CommonJS, JSON, addons. */
  readonly facades: ReadonlySet<string>
  /** URLs whose source ran as an ES module. */
  readonly esModules: ReadonlySet<string>
}

const RECORD_BYTES = 32
const EDGE_KINDS: Readonly<Record<number, TraceEdge['kind']>> = {
  [EVENT.edgeImport]: 'import',
  [EVENT.edgeRequire]: 'require',
  [EVENT.edgeBuiltin]: 'builtin',
}

export async function readTrace(eventsPath: string, namesPath: string): Promise<Trace> {
  const [events, names] = await Promise.all([readFile(eventsPath), readFile(namesPath, 'utf8')])
  return parseTrace(events, names)
}

/** The part after the last restart record. Throws BYRE_INTERNAL on a truncated trace. */
export function parseTrace(bytes: Uint8Array, namesText: string): Trace {
  if (bytes.byteLength % RECORD_BYTES !== 0)
    throw new ByreError('BYRE_INTERNAL', `Cannot read a trace of ${bytes.byteLength} bytes: records have 32`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const names = namesText.split('\n')
  const esmNames = new Map<number, string>()
  let events: TraceEvent[] = []
  let edges: TraceEdge[] = []
  let facades = new Set<string>()
  let esModules = new Set<string>()
  let running: string[] = []

  for (let at = 0; at < bytes.byteLength; at += RECORD_BYTES) {
    const [type, a, b, c] = [0, 8, 16, 24].map((o) => view.getFloat64(at + o, true)) as [
      number,
      number,
      number,
      number,
    ]
    const edgeKind = EDGE_KINDS[type]
    if (type === 0) {
      events = []
      edges = []
      facades = new Set()
      esModules = new Set()
      running = []
    } else if (edgeKind !== undefined) {
      const [from, to] = [names[a], names[b]]
      if (from !== undefined && to !== undefined)
        edges.push({ kind: edgeKind, from, to, specifier: c < 0 ? undefined : names[c] })
    } else if (type === EVENT.edgeInternal) {
      const [from, to] = [running.at(-1), names[b]]
      if (from !== undefined && to !== undefined)
        edges.push({ kind: 'internal', from, to, specifier: undefined })
    } else if (type === EVENT.facade) facades.add(names[a]!)
    else if (type === EVENT.module) {
      esmNames.set(a, names[b]!)
      esModules.add(names[b]!)
    } else {
      const byId = type === EVENT.enterEsm || type === EVENT.exitEsm
      const name = a < 0 ? undefined : byId ? esmNames.get(a) : names[a]
      if (name !== undefined) follow(running, type, name)
      events.push({ type, name, rawBytes: b, settledBytes: c < 0 ? undefined : c })
    }
  }
  return { events, edges, facades, esModules }
}

/** Keeps what is being evaluated, the innermost last. */
function follow(running: string[], type: number, name: string): void {
  if (type === EVENT.enterEsm || type === EVENT.enterCjs) running.push(name)
  if ((type === EVENT.exitEsm || type === EVENT.exitCjs) && running.includes(name))
    running.splice(running.lastIndexOf(name), 1)
}
