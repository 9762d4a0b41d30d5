// Copies everything that the compiled tests need on another machine: dist, build, units, and tap with its dependencies,
// without the files that only editors and builds read.
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
const NEEDED = ['tap', 'commander', 'pino', 'valibot', 'croner']
/** Large packages that compiled tests do not load. */
const UNUSED =
  /node_modules\/(typescript|@typescript|tshy|node-gyp|es-toolkit|react-dom|@types|esbuild|@esbuild)(\/|$)/
const READ_BY_PEOPLE = /\.(map|md|d\.ts|d\.mts|d\.cts|flow)$/

const isNeeded = (path) => !READ_BY_PEOPLE.test(path) && !UNUSED.test(path)

/** Copies the files to `folder`. */
export function pack(folder) {
  for (const part of ['dist', 'build', 'units', 'schema', 'test/fixtures', 'package.json'])
    cpSync(join(ROOT, part), join(folder, part), { recursive: true, filter: isNeeded })
  const packages = new Set()
  for (const name of NEEDED) walk(find(name, ROOT), packages)
  for (const path of packages) {
    const target = join(folder, relative(ROOT, path))
    mkdirSync(dirname(target), { recursive: true })
    cpSync(path, target, { recursive: true, filter: isNeeded, verbatimSymlinks: true })
  }
}

function walk(path, packages) {
  if (path === undefined || packages.has(path) || UNUSED.test(path)) return
  packages.add(path)
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8'))
  for (const name of Object.keys({ ...dependencies, ...peerDependencies })) walk(find(name, path), packages)
}

/** Resolves a package like Node, from the folder of the importing package. */
function find(name, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const path = join(folder, 'node_modules', name)
    if (existsSync(join(path, 'package.json'))) return path
    if (folder === dirname(folder)) return undefined
  }
}
