// Checks the instruments on modules of known size before a runtime is trusted. They depend on Node internals: on a
// version in which a hook has moved, the figures would be wrong without an error. A passed test is recorded in the
// cache folder, per binary and byre version.

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ByreError } from '../base/errors.ts'
import { instrumentOf } from './cache.ts'
import type { ChildResult } from './child/job.ts'
import { gainedBytes } from './confirm.ts'
import type { ModuleGraph } from './module-graph.ts'
import { savingOf } from './savings.ts'

const MIB = 1024 * 1024

export interface SelfTestCase {
  readonly file: string
  readonly source: string
  /** Bytes the module itself holds; absent when only its edges are checked. */
  readonly expectedBytes?: number
}

/** 20 MiB outside the heap, 10 MiB in it, 3 MB of source, a diamond, a cycle, CommonJS below ES modules, JSON. */
const SELF_TEST_CASES: readonly SelfTestCase[] = [
  {
    file: 'main.mjs',
    source: `import './buffer.mjs'; import './doubles.cjs'; import './left.mjs'; import './right.mjs';
import './loop-a.mjs'; import './tree.cjs'; await import('./late.mjs')`,
  },
  {
    file: 'buffer.mjs',
    source: 'export const b = new Uint8Array(20 * 1024 * 1024).fill(1)',
    expectedBytes: 20 * MIB,
  },
  { file: 'doubles.cjs', source: 'exports.d = new Array(10 * 131072).fill(1.5)', expectedBytes: 10 * MIB },
  {
    file: 'source.cjs',
    source: `exports.f = function () { return 1 }\n//${'x'.repeat(3_000_000)}`,
    expectedBytes: 3_000_000,
  },
  { file: 'left.mjs', source: `import './shared.cjs'` },
  { file: 'right.mjs', source: `import './shared.cjs'` },
  { file: 'shared.cjs', source: 'exports.d = new Array(4 * 131072).fill(1.5)', expectedBytes: 4 * MIB },
  { file: 'loop-a.mjs', source: `import './loop-b.mjs'; export const a = 1` },
  { file: 'loop-b.mjs', source: `import { a } from './loop-a.mjs'; export const f = () => a` },
  { file: 'tree.cjs', source: `require('./leaf.cjs'); require('./data.json'); require('./source.cjs')` },
  { file: 'leaf.cjs', source: 'exports.d = new Array(2 * 131072).fill(1.5)', expectedBytes: 2 * MIB },
  { file: 'data.json', source: JSON.stringify({ a: [1, 2, 3] }) },
  {
    file: 'late.mjs',
    source: 'export const d = new Array(131072).fill(1.5)',
    expectedBytes: MIB,
  },
]

/** Writes the program and returns the URL of its entry. */
export function writeSelfTest(folder: string): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{}')
  for (const { file, source } of SELF_TEST_CASES) writeFileSync(join(folder, file), source)
  return pathToFileURL(join(folder, 'main.mjs')).href
}

/** The errors of the instruments, as sentences; empty when all figures are correct. */
export function judgeSelfTest(graph: ModuleGraph, bare: ChildResult, probed: ChildResult): string[] {
  const wrong: string[] = []
  const near = (what: string, got: number, expected: number): void => {
    const tolerance = Math.max(expected * 0.02, 128 * 1024)
    if (!(Math.abs(got - expected) <= tolerance))
      wrong.push(`${what}: ${kib(expected)} KiB expected, ${kib(got)} KiB measured`)
  }
  for (const { file, expectedBytes } of SELF_TEST_CASES) {
    const node = graph.nodes.find((n) => n.url.endsWith(`/${file}`) && n.kind !== 'wrapper')
    if (node === undefined) wrong.push(`${file}: not found in the trace`)
    else if (expectedBytes !== undefined) near(file, node.selfBytes, expectedBytes)
  }
  if (wrong.length > 0) return wrong
  near('the whole program, bare and probed', gainedBytes(probed), gainedBytes(bare))
  near('the parts and the whole', graph.totalBytes, gainedBytes(bare))
  const edge = (from: string, to: string): number =>
    graph.edges.findIndex(
      (e) => graph.nodes[e.from]!.url.endsWith(`/${from}`) && graph.nodes[e.to]!.url.endsWith(`/${to}`),
    )
  const [left, right, leaf] = [
    edge('left.mjs', 'shared.cjs'),
    edge('right.mjs', 'shared.cjs'),
    edge('tree.cjs', 'leaf.cjs'),
  ]
  if (left < 0 || right < 0 || leaf < 0) return [...wrong, 'an import edge is missing in the trace']
  near('one edge of a diamond', savingOf(graph, [left]), 0)
  near('both edges of a diamond', savingOf(graph, [left, right]), 4 * MIB)
  near('an edge of a CommonJS tree', savingOf(graph, [leaf]), 2 * MIB)
  return wrong
}

export function selfTestError(nodeVersion: string, wrong: readonly string[]): ByreError {
  return new ByreError(
    'BYRE_AUDIT_RUNTIME',
    `Cannot audit with Node ${nodeVersion}: ${wrong.length} measurement${wrong.length === 1 ? '' : 's'} of modules of known size ` +
      `failed (${wrong.join('; ')}). Use Node 20, 22, 24 or 26, or report this version.`,
    { details: { nodeVersion, wrong } },
  )
}

/** Whether the self-test has passed with this binary and this version of byre. */
export function hasPassed(cacheFolder: string, nodePath: string): boolean {
  try {
    return readFileSync(stampPath(cacheFolder, nodePath), 'utf8') === 'passed'
  } catch {
    return false
  }
}

export function recordPassed(cacheFolder: string, nodePath: string): void {
  mkdirSync(cacheFolder, { recursive: true, mode: 0o700 })
  writeFileSync(stampPath(cacheFolder, nodePath), 'passed')
}

function stampPath(cacheFolder: string, nodePath: string): string {
  return join(
    cacheFolder,
    `self-test-${createHash('sha256').update(instrumentOf(nodePath)).digest('hex').slice(0, 32)}`,
  )
}

function kib(bytes: number): number {
  return Math.round(bytes / 1024)
}
