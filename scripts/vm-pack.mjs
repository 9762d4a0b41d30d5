// vm-pack DIR: what the compiled tests need to run on a machine of its own: dist, build, units, and tap with all it depends
// on, without what only editors and builds read.
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
const TO = process.argv[2]
if (TO === undefined) throw new Error('usage: vm-pack DIR')
const NEEDED = ['tap', 'commander', 'pino', 'valibot', 'croner']
/** Large, and not loaded by a test that is compiled already. */
const UNUSED = /node_modules\/(typescript|@typescript|tshy|node-gyp|es-toolkit|react-dom|@types|esbuild|@esbuild)(\/|$)/
const READ_BY_PEOPLE = /\.(map|md|d\.ts|d\.mts|d\.cts|flow)$/

const packages = new Set()
/** As Node looks for it, from the folder of who needs it. */
function find(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name)
    if (existsSync(join(path, 'package.json'))) return path
    if (folder === dirname(folder)) return undefined
  }
}
function walk(path) {
  if (path === undefined || packages.has(path) || UNUSED.test(path)) return
  packages.add(path)
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'))
  for (const name of Object.keys({ ...dependencies, ...peerDependencies })) walk(find(name, path))
}
for (const name of NEEDED) walk(find(name, ROOT))

const filter = (source) => !READ_BY_PEOPLE.test(source) && !UNUSED.test(source)
for (const folder of ['dist', 'build', 'units', 'schema', 'test/fixtures', 'package.json'])
  cpSync(join(ROOT, folder), join(TO, folder), { recursive: true, filter })
for (const path of packages) {
  const target = join(TO, relative(ROOT, path))
  mkdirSync(dirname(target), { recursive: true })
  cpSync(path, target, { recursive: true, filter, verbatimSymlinks: true })
}
