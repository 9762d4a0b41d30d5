// The rooms of src/: imports point down only, never sideways between two rooms of one layer, and never in a circle of files;
// type imports included. `.oxlintrc.json` says the same to the editor.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

/** Lowest first. */
const LAYERS = [
  ['base'],
  ['procfs', 'graph', 'imports', 'log'],
  ['ownership', 'measure', 'bus', 'notify'],
  ['config', 'worker'],
  ['herd', 'audit'],
  ['watch'],
  ['placement', 'control'],
  ['supervisor'],
  ['systemd'],
  ['report'],
  ['cli'],
]
/** What one room may hold at most, lines. */
const ROOM_MAX_LINES = 6500
const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const root = join(repository, 'src')
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const roomOf = (file: string): string => file.split('/')[0]!
const layerOf = (room: string): number => LAYERS.findIndex((l) => l.includes(room))
const isEntry = (file: string): boolean => !file.includes('/')

function importsOf(file: string): string[] {
  return [...read(file).matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g)].map((m) =>
    relative(root, resolve(root, dirname(file), m[1]!)),
  )
}

/** Why `from` may not import `to`, or undefined. */
function violation(from: string, to: string): string | undefined {
  if (isEntry(from)) return undefined // entries at the root of src import what they re-export
  if (isEntry(to)) return `${from} imports the entry ${to}: entries are for outsiders`
  const [a, b] = [roomOf(from), roomOf(to)]
  if (a === b) return undefined
  const [la, lb] = [layerOf(a), layerOf(b)]
  if (la > lb) return undefined
  return `${from} (L${la}) imports ${to} (L${lb}): move the shared part down or pass the value in`
}

/** Groups of two and more files that import each other, by Tarjan's algorithm for strongly connected components. */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const found: string[][] = []
  const visit = (node: string): void => {
    index.set(node, index.size)
    low.set(node, index.get(node)!)
    stack.push(node)
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) visit(next)
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!))
    }
    if (low.get(node) !== index.get(node)) return
    const group = stack.splice(stack.indexOf(node))
    if (group.length > 1) found.push(group.sort())
  }
  for (const node of graph.keys()) if (!index.has(node)) visit(node)
  return found
}

t.test('every room of src belongs to a layer', async (t) => {
  const rooms = new Set(files.filter((f) => !isEntry(f)).map(roomOf))
  for (const room of rooms) t.not(layerOf(room), -1, `${room} is in the table`)
  t.same(
    LAYERS.flat().filter((room) => !rooms.has(room)),
    [],
    'and the table has no room that is gone',
  )
})

t.test('imports point down only', async (t) => {
  const found = files.flatMap((f) => importsOf(f).map((i) => violation(f, i))).filter((v) => v !== undefined)
  t.same(found, [])
})

t.test('no circle of files', async (t) => {
  t.same(circles(new Map(files.map((f) => [f, importsOf(f)]))), [])
})

t.test('the rules themselves can fail', async (t) => {
  t.ok(violation('base/clock.ts', 'log/logger.ts'), 'up')
  t.ok(violation('bus/bus.ts', 'measure/paths.ts'), 'sideways')
  t.ok(violation('herd/runner.ts', 'supervisor/supervisor.ts'), 'to the facade')
  t.ok(violation('cli/main.ts', 'index.ts'), 'through an entry')
  t.notOk(violation('herd/runner.ts', 'base/clock.ts'), 'down')
  const ring = new Map([
    ['a', ['b']],
    ['b', ['c']],
    ['c', ['b']],
  ])
  t.same(circles(ring), [['b', 'c']], 'a circle')
})

t.test('the lint rule has the same layers', async (t) => {
  const config = JSON.parse(readFileSync(join(repository, '.oxlintrc.json'), 'utf8')) as {
    overrides: {
      files: string[]
      rules: { 'no-restricted-imports'?: [string, { patterns: { group: string[] }[] }] }
    }[]
  }
  const pattern = (room: string): string => `**/${room}/**`
  for (const [layer, rooms] of LAYERS.entries())
    for (const room of rooms) {
      const upward = LAYERS.slice(layer)
        .flat()
        .filter((other) => other !== room)
      const folder = `**/src/${room}/**`
      const rules = config.overrides
        .filter((o) => o.files.includes(folder))
        .map((o) => o.rules['no-restricted-imports'])
      const groups = rules.flatMap((rule) => rule?.[1].patterns.flatMap(({ group }) => group) ?? [])
      t.same(groups.sort(), upward.map(pattern).sort(), `${room} may not import what is above or beside it`)
    }
})

t.test(`no room has more than ${ROOM_MAX_LINES} lines`, async (t) => {
  for (const room of LAYERS.flat()) {
    const lines = files
      .filter((f) => roomOf(f) === room)
      .reduce((sum, f) => sum + read(f).split('\n').length - 1, 0)
    t.ok(lines <= ROOM_MAX_LINES, `${room} has ${lines}`)
  }
})

t.test('no file of src is longer than 400 lines without a reason in its header', async (t) => {
  for (const file of files) {
    const lines = read(file).split('\n')
    if (lines.length > 401)
      t.match(lines.slice(0, 10).join('\n'), /long because/i, `${file} has ${lines.length} lines`)
  }
})
