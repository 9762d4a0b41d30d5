// The house of src/: imports point down only, never sideways between two folders of one layer, types included.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const LAYERS = [
  ['base'],
  ['procfs', 'graph', 'log'],
  ['measure', 'bus', 'notify', 'config'],
  ['worker'],
  ['supervisor', 'audit'],
  ['systemd'],
  ['report'],
  ['cli'],
]
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../src')
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'))
const layerOf = (folder: string): number => LAYERS.findIndex((l) => l.includes(folder))

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)['"]/g)].map((m) =>
    relative(root, resolve(root, dirname(file), m[1]!)),
  )
}

/** Why `from` may not import `to`, or undefined. */
function violation(from: string, to: string): string | undefined {
  const [a, b] = [from.split('/'), to.split('/')]
  if (a.length === 1) return undefined // entries at the root of src import what they re-export
  if (b.length === 1) return `${from} imports the entry ${to}: entries are for outsiders`
  if (a[0] === b[0]) return undefined
  const [la, lb] = [layerOf(a[0]!), layerOf(b[0]!)]
  if (la > lb) return undefined
  return `${from} (L${la}) imports ${to} (L${lb}): move the shared part down or pass the value in`
}

t.test('every folder of src belongs to a layer', async (t) => {
  const folders = new Set(files.filter((f) => f.includes('/')).map((f) => f.split('/')[0]!))
  for (const folder of folders) t.not(layerOf(folder), -1, `${folder} is in the table`)
})

t.test('imports point down only', async (t) => {
  const found = files.flatMap((f) => importsOf(f).map((i) => violation(f, i))).filter((v) => v !== undefined)
  t.same(found, [])
})

t.test('the rule itself can fail', async (t) => {
  t.ok(violation('base/clock.ts', 'log/logger.ts'), 'up')
  t.ok(violation('bus/bus.ts', 'config/types.ts'), 'sideways')
  t.ok(violation('cli/main.ts', 'index.ts'), 'through an entry')
  t.notOk(violation('supervisor/runner.ts', 'base/clock.ts'), 'down')
})

t.test('no file of src is longer than 400 lines without a reason in its header', async (t) => {
  for (const file of files) {
    const lines = readFileSync(join(root, file), 'utf8').split('\n')
    if (lines.length > 401)
      t.match(lines.slice(0, 10).join('\n'), /long because/i, `${file} has ${lines.length} lines`)
  }
})
