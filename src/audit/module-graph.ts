// The graph of the modules a program loaded, their imports and their costs. Node 0 is the program itself; it imports
// the entries. A module of another format that an ES module imports (CommonJS, JSON, an addon) has a separate wrapper
// node, because Node keeps memory for the wrapper, and only the ESM edge keeps the wrapper loaded.

import { fileURLToPath } from 'node:url'
import { digraph, type Digraph } from '../graph/digraph.ts'
import { reachable } from '../graph/reach.ts'
import type { Attribution } from './attribute.ts'
import type { Trace } from './trace.ts'

export type ModuleKind = 'program' | 'esm' | 'cjs' | 'json' | 'addon' | 'wasm' | 'builtin' | 'wrapper'

export interface ModuleNode {
  readonly id: number
  /** file:, node: or data: URL; the module's URL for a wrapper, '' for the program. */
  readonly url: string
  readonly kind: ModuleKind
  /** 'typeorm', '@scope/name', 'node:net', or '' for first-party code. */
  readonly packageName: string
  /** Used heap + external memory charged to the module itself, in bytes. */
  readonly selfBytes: number
}

export interface ImportEdge {
  readonly from: number
  readonly to: number
  /** 'internal' edges are inside Node, or lead into it without an import statement (a global that loads on first
   *  use). */
  readonly kind: 'entry' | 'import' | 'require' | 'wrapped' | 'unseen' | 'internal'
  /** As written in the source; undefined when unknown. */
  readonly specifier: string | undefined
}

export interface ModuleGraph {
  readonly nodes: readonly ModuleNode[]
  /** In the order of `graph.targets`. */
  readonly edges: readonly ImportEdge[]
  readonly graph: Digraph
  readonly loaderBytes: number
  readonly totalBytes: number
  readonly overlapping: readonly string[]
}

/** Builds the graph of one probed run. `entries` are the entries of the run, in load order. */
export function buildModuleGraph(
  trace: Trace,
  attribution: Attribution,
  entries: readonly { readonly url: string; readonly how: 'import' | 'require' }[],
): ModuleGraph {
  const index = new Map<string, number>([['', 0]])
  const idOf = (name: string): number => {
    const known = index.get(name)
    if (known !== undefined) return known
    index.set(name, index.size)
    return index.size - 1
  }
  const edges = collectEdges(trace, attribution, entries, idOf)
  const names = [...index.keys()]
  const wired = wireUnseen(names.length, edges)
  const graph = digraph(
    names.length,
    wired.map((e) => [e.from, e.to] as const),
  )
  const selfBytes = moveSharedSources(names, wired, attribution)
  const nodes = names.map((name, id) => describeNode(id, name, trace, selfBytes.get(name) ?? 0))
  const { loaderBytes, totalBytes, overlapping } = attribution
  return { nodes, edges: inOrder(wired, names.length), graph, loaderBytes, totalBytes, overlapping }
}

function collectEdges(
  trace: Trace,
  attribution: Attribution,
  entries: readonly { readonly url: string; readonly how: 'import' | 'require' }[],
  idOf: (name: string) => number,
): ImportEdge[] {
  const loaded = new Set<string>([...trace.esModules, ...trace.wrappers])
  for (const event of trace.events) if (event.name !== undefined) loaded.add(event.name)
  const target = (to: string, byImport: boolean): string =>
    byImport && trace.wrappers.has(to) ? `wrapper:${to}` : to
  const edges = new Map<string, ImportEdge>()
  const add = (from: number, to: number, kind: ImportEdge['kind'], specifier: string | undefined): void => {
    if (from === to) return
    const key = `${from} ${to}`
    const known = edges.get(key)
    // An edge may be recorded twice: the record with a specifier wins.
    if (known === undefined || (known.specifier === undefined && specifier !== undefined))
      edges.set(key, { from, to, kind, specifier })
  }
  for (const { url, how } of entries) add(0, idOf(target(url, how === 'import')), 'entry', undefined)
  for (const url of trace.wrappers) add(idOf(`wrapper:${url}`), idOf(url), 'wrapped', undefined)
  for (const edge of trace.edges) {
    // A specifier that was resolved but never loaded (import.meta.resolve) is not an import.
    if (!edge.to.startsWith('node:') && !loaded.has(edge.to)) continue
    const kind = edge.kind === 'import' || edge.kind === 'internal' ? edge.kind : 'require'
    add(idOf(edge.from), idOf(target(edge.to, edge.kind === 'import')), kind, edge.specifier)
  }
  for (const name of attribution.selfBytes.keys()) idOf(name)
  return [...edges.values()]
}

/** Attaches modules that no recorded edge leads to to the program, so that their bytes are not lost. */
function wireUnseen(size: number, edges: readonly ImportEdge[]): ImportEdge[] {
  const all = [...edges]
  const incoming = new Uint8Array(size)
  for (const e of edges) incoming[e.to] = 1
  const attach = (to: number): void => void all.push({ from: 0, to, kind: 'unseen', specifier: undefined })
  for (let v = 1; v < size; v++) if (incoming[v] === 0) attach(v)
  const reached = reachable(
    digraph(
      size,
      all.map((e) => [e.from, e.to] as const),
    ),
    0,
  )
  for (let v = 1; v < size; v++)
    if (reached[v] === 0) {
      attach(v)
      const more = reachable(
        digraph(
          size,
          all.map((e) => [e.from, e.to] as const),
        ),
        v,
      )
      for (let w = 0; w < size; w++) if (more[w] === 1) reached[w] = 1
    }
  return all
}

/** A wrapper and its module share one copy of the source (checked on 20, 22, 24 and 26). When other modules import
 *  the module too, the copy is not freed with the wrapper, so it is charged to the module. */
function moveSharedSources(
  names: readonly string[],
  edges: readonly ImportEdge[],
  attribution: Attribution,
): Map<string, number> {
  const waysIn = new Map<number, number>()
  for (const { to } of edges) waysIn.set(to, (waysIn.get(to) ?? 0) + 1)
  const bytes = new Map(attribution.selfBytes)
  for (const { from, to, kind } of edges) {
    if (kind !== 'wrapped' || (waysIn.get(to) ?? 0) < 2) continue
    const [wrapper, module] = [names[from]!, names[to]!]
    bytes.set(module, (bytes.get(module) ?? 0) + (bytes.get(wrapper) ?? 0))
    bytes.set(wrapper, 0)
  }
  return bytes
}

function inOrder(edges: readonly ImportEdge[], size: number): ImportEdge[] {
  const rows: ImportEdge[][] = Array.from({ length: size }, () => [])
  for (const e of edges) rows[e.from]!.push(e)
  return rows.flat()
}

function describeNode(id: number, name: string, trace: Trace, selfBytes: number): ModuleNode {
  const wrapper = name.startsWith('wrapper:')
  const url = wrapper ? name.slice('wrapper:'.length) : name
  return { id, url, kind: kindOf(name, wrapper, trace), packageName: packageOf(url), selfBytes }
}

function kindOf(name: string, wrapper: boolean, trace: Trace): ModuleKind {
  if (name === '') return 'program'
  if (wrapper) return 'wrapper'
  if (name.startsWith('node:')) return 'builtin'
  if (trace.esModules.has(name)) return 'esm'
  const path = name.replace(/[?#].*$/, '')
  if (/\.m[jt]s$/.test(path)) return 'esm'
  if (path.endsWith('.json')) return 'json'
  if (path.endsWith('.node')) return 'addon'
  if (path.endsWith('.wasm')) return 'wasm'
  return 'cjs'
}

const IN_PACKAGE = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/

/** The package of a URL: the innermost node_modules folder decides; '' for first-party code. */
function packageOf(url: string): string {
  if (url.startsWith('node:')) return url.startsWith('node:internal/') ? 'node:internal' : url
  return decodeURIComponent(IN_PACKAGE.exec(url)?.[1] ?? '')
}

/** The file of a module, or undefined for builtins, data: URLs and the program. */
export function fileOf(node: ModuleNode): string | undefined {
  return node.url.startsWith('file:') ? fileURLToPath(node.url) : undefined
}
