// One profile of a loop at a time, for all clients; and profiles on disk replace only older ones of the same kind and label.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../../src/base/clock.ts'
import { stackOwners } from '../../../src/ownership/stack.ts'
import type { StackOwners } from '../../../src/ownership/stack.ts'
import { keepProfile } from '../../../src/watch/profile/files.ts'
import { takeProfile } from '../../../src/watch/profile/profile.ts'

interface Member {
  readonly name: string
  readonly source: { readonly path: string }
}

function ownersOf(members: readonly Member[]): () => Promise<StackOwners> {
  return async () => stackOwners(members, '/nowhere/')
}

function folderOf(t: { teardown: (fn: () => void) => unknown }): string {
  const folder = mkdtempSync(join(tmpdir(), 'byre-profile-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

t.test('a second profile of the same loop is refused, and the first is complete', async (t) => {
  const source = {
    folder: folderOf(t),
    label: 'g',
    clock: systemClock,
    owners: ownersOf([]),
  }
  const first = takeProfile({ kind: 'heap', windowMs: 100 }, source)
  await t.rejects(takeProfile({ kind: 'heap', windowMs: 100 }, source), { code: 'BYRE_CONTROL_BUSY' })
  t.match(await first, { kind: 'heap', file: /\.g\.heapprofile$/ })
  t.match(await takeProfile({ kind: 'heap', windowMs: 100 }, source), { kind: 'heap' }, 'it is free again')
})

t.test('ten of each kind and label are kept, the oldest are deleted first', async (t) => {
  const folder = folderOf(t)
  keepProfile({ folder, label: 'g' }, 'heap', 'mine', 0)
  keepProfile({ folder, label: 'g' }, 'cpu', 'mine', 0)
  for (let at = 1; at <= 15; at++) keepProfile({ folder, label: 'g.memory' }, 'heap', '{}', at)
  const names = readdirSync(join(folder, 'profiles'))
  const ends = (end: string): string[] => names.filter((name) => name.endsWith(end))
  t.equal(ends('Z.g.heapprofile').length, 1)
  t.equal(ends('Z.g.cpuprofile').length, 1)
  t.equal(ends('.g.memory.heapprofile').length, 10)
  t.match(ends('.g.memory.heapprofile').toSorted()[0], /006Z/, 'the first five are gone')
})

t.test('two workers whose work is 2 to 1 by count are charged about 2 to 1', async (t) => {
  const folder = folderOf(t)
  // separate sources, so that the modules share no code, and too long for V8 to inline into the test (Node 22 charges
  // what is inlined to its caller)
  const step = 'x = (x * 31 + i) % 1000003; '.repeat(100)
  const load = async (name: string): Promise<Member & { work: (count: number) => number }> => {
    const path = join(folder, `${name}.mjs`)
    writeFileSync(
      path,
      `export function work(count) { let x = 0; for (let i = 0; i < count; i++) { ${step} } return x }`,
    )
    return { name, source: { path }, ...((await import(path)) as { work: (count: number) => number }) }
  }
  const [twice, once] = await Promise.all([load('twice'), load('once')])
  let over = false
  const working = (async () => {
    while (!over) {
      twice.work(4000)
      await new Promise((resolve) => setImmediate(resolve)) // it must not idle, see docs/profile.md
      once.work(2000)
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  const source = { folder, label: 'g', clock: systemClock, owners: ownersOf([twice, once]) }
  const report = await takeProfile({ kind: 'cpu', windowMs: 2000 }, source)
  over = true
  await working
  const selfOf = (name: string): number => report.workers.find(({ worker }) => worker === name)?.self ?? 0
  const ratio = selfOf('twice') / selfOf('once')
  t.ok(ratio > 1.4 && ratio < 2.9, `${ratio.toFixed(2)} to 1`)
})

t.test('the files have every field that the loaders of Chrome DevTools read', async (t) => {
  const source = { folder: folderOf(t), label: 'g', clock: systemClock, owners: ownersOf([]) }
  const kept: unknown[] = []
  const filling = setInterval(() => kept.push(Array.from({ length: 20_000 }, (_, i) => ({ i }))), 5)
  const read = async (kind: 'cpu' | 'heap'): Promise<Record<string, unknown>> => {
    const { file } = await takeProfile({ kind, windowMs: 200 }, source)
    return JSON.parse(readFileSync(String(file), 'utf8')) as Record<string, unknown>
  }
  const cpu = await read('cpu')
  const heap = await read('heap')
  clearInterval(filling)

  const callFrame = {
    functionName: String,
    scriptId: String,
    url: String,
    lineNumber: Number,
    columnNumber: Number,
  }
  const nodes = cpu['nodes'] as { id: number; children?: number[] }[]
  t.match(cpu, { startTime: Number, endTime: Number })
  t.ok(nodes.length > 1)
  for (const node of nodes) t.match(node, { id: Number, callFrame, hitCount: Number })
  const ids = new Set(nodes.map(({ id }) => id))
  t.ok(
    nodes.every(({ children = [] }) => children.every((id) => ids.has(id))),
    'one tree',
  )
  const samples = cpu['samples'] as number[]
  t.ok(samples.length > 0 && samples.every((id) => ids.has(id)))
  t.equal((cpu['timeDeltas'] as number[]).length, samples.length)

  interface HeapNode {
    readonly id: number
    readonly children: readonly HeapNode[]
  }
  const all = (node: HeapNode): HeapNode[] => [node, ...node.children.flatMap(all)]
  const heapNodes = all(heap['head'] as HeapNode)
  for (const node of heapNodes) t.match(node, { id: Number, callFrame, selfSize: Number, children: Array })
  const heapIds = new Set(heapNodes.map(({ id }) => id))
  const sizes = heap['samples'] as { nodeId: number }[]
  t.ok(sizes.length > 0)
  for (const size of sizes) t.match(size, { size: Number, nodeId: Number, ordinal: Number })
  t.ok(sizes.every(({ nodeId }) => heapIds.has(nodeId)))
})
