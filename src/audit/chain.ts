// Import chains from the entry to a module, as text: `cli/index.js:22 -> cli/topology.js:12 -> typeorm`. The line
// number is that of the import statement of the next step.

import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { shortestPath } from '../graph/reach.ts'
import { lineOfImport } from './import-statements.ts'
import { fileOf, type ImportEdge, type ModuleGraph, type ModuleNode } from './module-graph.ts'

export interface ChainStep {
  /** Path relative to the project, `package/path` inside a package, `node:x`. */
  readonly label: string
  /** Line of the statement that imports the next step; absent for the last step and when the statement was not
   *  found. */
  readonly line?: number
}

/** Names modules and finds the lines of imports; caches the lines it has looked up. */
export interface Labeller {
  label(node: ModuleNode): string
  /** `a.js:12 -> b.js` */
  edgeText(edge: ImportEdge): string
  lineOf(edge: ImportEdge): number | undefined
  /** The shortest chain from the entry to any of `targets`; undefined when none of them is loaded. */
  chainTo(targets: readonly number[]): ChainStep[] | undefined
}

export function createLabeller(graph: ModuleGraph, cwd: string): Labeller {
  const lines = new Map<string, number | undefined>()
  const labelOf = (node: ModuleNode): string => labelUrl(node, cwd)
  const lineOf = (edge: ImportEdge): number | undefined => {
    const file = fileOf(graph.nodes[edge.from]!)
    if (file === undefined || edge.specifier === undefined) return undefined
    const key = `${file}\n${edge.specifier}`
    if (!lines.has(key)) lines.set(key, readLine(file, edge.specifier))
    return lines.get(key)
  }
  return {
    label: labelOf,
    lineOf,
    edgeText(edge) {
      const line = lineOf(edge)
      const from = labelOf(graph.nodes[edge.from]!)
      return `${from}${line === undefined ? '' : `:${line}`} -> ${labelOf(graph.nodes[edge.to]!)}`
    },
    chainTo(targets) {
      const paths = targets
        .map((target) => shortestPath(graph.graph, 0, target))
        .filter((path) => path !== undefined)
        .toSorted((a, b) => a.length - b.length)
      return paths[0] === undefined ? undefined : stepsOf(graph, paths[0], labelOf, lineOf)
    },
  }
}

/** `a.js:22 -> b.js:12 -> typeorm` */
export function chainText(chain: readonly ChainStep[]): string {
  return chain.map((s) => (s.line === undefined ? s.label : `${s.label}:${s.line}`)).join(' -> ')
}

function stepsOf(
  graph: ModuleGraph,
  path: readonly number[],
  labelOf: (node: ModuleNode) => string,
  lineOf: (edge: ImportEdge) => number | undefined,
): ChainStep[] {
  const steps: ChainStep[] = []
  for (const [i, v] of path.entries()) {
    const node = graph.nodes[v]!
    if (node.kind === 'program') continue
    const next = path[i + 1]
    const edge = next === undefined ? undefined : edgeBetween(graph, v, next)
    // A wrapper and its module are shown as one module.
    if (edge?.kind === 'wrapped') continue
    const line = edge === undefined ? undefined : lineOf(edge)
    steps.push(line === undefined ? { label: labelOf(node) } : { label: labelOf(node), line })
  }
  return steps
}

function edgeBetween(graph: ModuleGraph, from: number, to: number): ImportEdge | undefined {
  for (let e = graph.graph.offsets[from]!; e < graph.graph.offsets[from + 1]!; e++)
    if (graph.graph.targets[e] === to) return graph.edges[e]
  return undefined
}

function readLine(file: string, specifier: string): number | undefined {
  try {
    return lineOfImport(readFileSync(file, 'utf8'), specifier)
  } catch {
    return undefined
  }
}

function labelUrl(node: ModuleNode, cwd: string): string {
  if (node.kind === 'program') return '(program)'
  const file = fileOf(node)
  if (file === undefined) return node.url.length > 80 ? `${node.url.slice(0, 77)}...` : node.url
  const inPackage = file.lastIndexOf('/node_modules/')
  if (inPackage !== -1) return file.slice(inPackage + '/node_modules/'.length)
  const path = relative(cwd, file)
  return path.startsWith('..') ? file : path
}
