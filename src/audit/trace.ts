// Reads the trace of the probe: four doubles per record and one name per line (see EVENT in child/job.ts).

import { readFile } from 'node:fs/promises'
import { ByreError } from '../base/errors.ts'
import { EVENT } from './child/job.ts'

export type TraceEvent = {
  readonly type: number
  /** The module of the event, or undefined. */
  readonly name: string | undefined
  /** Used heap + external memory at the event, in bytes; `collectedBytes` is the same after the collection at this
   *  event, if there was one. */
  readonly rawBytes: number
  readonly collectedBytes: number | undefined
}

export interface TraceEdge {
  /** 'internal': a builtin module loads another one; there is no import statement in the program. */
  readonly kind: 'import' | 'require' | 'builtin' | 'internal'
  readonly from: string
  readonly to: string
  /** As written in the source; absent for edges read from the module tree. */
  readonly specifier: string | undefined
}

export interface Trace {
  readonly events: readonly TraceEvent[]
  readonly edges: readonly TraceEdge[]
  /** URLs of modules of other formats that an ES module imported: CommonJS, JSON, addons. */
  readonly wrappers: ReadonlySet<string>
  /** URLs of modules that were evaluated as ES modules. */
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

/** Parses the part after the last restart record. Throws BYRE_INTERNAL for a truncated trace. */
export function parseTrace(bytes: Uint8Array, namesText: string): Trace {
  if (bytes.byteLength % RECORD_BYTES !== 0)
    throw new ByreError(
      'BYRE_INTERNAL',
      `Cannot read a trace of ${bytes.byteLength} bytes: records have 32 bytes, so it is truncated.`,
    )
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const names = namesText.split('\n')
  const esmNames = new Map<number, string>()
  let events: TraceEvent[] = []
  let edges: TraceEdge[] = []
  let wrappers = new Set<string>()
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
      wrappers = new Set()
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
    } else if (type === EVENT.wrapper) wrappers.add(names[a]!)
    else if (type === EVENT.module) {
      esmNames.set(a, names[b]!)
      esModules.add(names[b]!)
    } else {
      const byId = type === EVENT.enterEsm || type === EVENT.exitEsm
      const name = a < 0 ? undefined : byId ? esmNames.get(a) : names[a]
      if (name !== undefined) follow(running, type, name)
      events.push({ type, name, rawBytes: b, collectedBytes: c < 0 ? undefined : c })
    }
  }
  return { events, edges, wrappers, esModules }
}

/** Maintains the stack of modules being evaluated, the innermost last. */
function follow(running: string[], type: number, name: string): void {
  if (type === EVENT.enterEsm || type === EVENT.enterCjs) running.push(name)
  if ((type === EVENT.exitEsm || type === EVENT.exitCjs) && running.includes(name))
    running.splice(running.lastIndexOf(name), 1)
}
