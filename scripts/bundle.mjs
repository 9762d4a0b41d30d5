// Builds dist/, which the package ships: the programs and the library, bundled from src/, and the declarations of the public
// entries. Every module is in exactly one file, so that an error class or a registry exists once in a process.
//
// A program loads few files and little unused code: modules that the same programs load at start share a chunk, and small
// modules that a herd also loads share another one. Each loaded file costs about 40 KB of private memory. With a split only
// along late imports, a start of `byre supervise` loaded 51 files. Chunks are one folder below the root, as
// base/own-files.ts expects.
import { copyFileSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const root = fileURLToPath(new URL('..', import.meta.url))
const SRC = join(root, 'src')
const DECLARATIONS = join(root, 'build/src')
const OUT = join(root, 'dist')
/** The entries that `package.json` exports. */
const LIBRARY = ['index', 'worker', 'audit', 'measure', 'lazy', 'guard', 'tap']
/** Main modules of processes and threads, and other modules that are loaded by path. */
const PROGRAMS = {
  thread: ['placement/child/thread-entry'],
  process: ['placement/child/process-entry'],
  script: ['placement/child/script-preload', 'placement/child/script-child'],
  stall: ['watch/stall/thread-entry'],
  lease: ['bus/redis/lease/thread-entry'],
  probe: ['systemd/projection-probe'],
  imports: ['imports/child'],
  audited: ['audit/child/main', 'audit/child/witness-preload'],
  guard: ['audit/guard-thread'],
}
/** Everything that loads modules at start: the programs, the parts of the command line, and the entries that workers import. */
const LOADED = {
  ...PROGRAMS,
  line: ['bin', 'cli/parse', 'cli/run-command', 'cli/exit'],
  herd: ['cli/commands/supervise', 'config/resolve'],
  worker: ['index', 'worker', 'lazy', 'guard'],
  auditing: ['audit'],
  measuring: ['measure'],
  tap: ['tap'],
}
/** It evaluates a config at a reload and ends: it may load a herd's chunk. */
const CONFIG_CHILD = 'config/evaluate'
const entries = ['bin', CONFIG_CHILD, ...LIBRARY, ...Object.values(PROGRAMS).flat()]

/** Maps the path of a module to the names in LOADED that load it at start. */
function loadersOf(modules, importsOf) {
  const loaders = new Map()
  for (const [name, starts] of Object.entries(LOADED)) {
    const seen = new Set(starts.flatMap((start) => matching(modules, start)))
    for (const id of seen) for (const next of importsOf(id)) seen.add(next)
    for (const id of seen) loaders.set(id, [...(loaders.get(id) ?? []), name])
  }
  return loaders
}

function matching(modules, start) {
  const path = join(SRC, `${start}.ts`)
  if (!start.endsWith('*')) return [path]
  const folder = path.slice(0, -'*.ts'.length)
  return modules.filter((id) => id.startsWith(folder) && !id.endsWith('/supervise.ts'))
}

/** A module costs less than an additional file if its source, including all its imports, has at most this length. */
const SMALL_LENGTH = 6000

/** Length of the source of a module and of all its imports. */
function closureLength(id, importsOf, lengthOf) {
  const seen = new Set([id])
  for (const each of seen) for (const next of importsOf(each)) seen.add(next)
  return [...seen].reduce((sum, each) => sum + lengthOf(each), 0)
}

let loaders = new Map()
const small = new Set()
const noteLoaders = {
  name: 'note-loaders',
  buildEnd() {
    const modules = [...this.getModuleIds()].filter((id) => id.startsWith(SRC))
    const importsOf = (id) => this.getModuleInfo(id).importedIds.filter((next) => next.startsWith(SRC))
    const lengthOf = (id) => this.getModuleInfo(id).code.length
    loaders = loadersOf(modules, importsOf)
    for (const [id, names] of loaders)
      if (
        names.length > 1 &&
        names.includes('herd') &&
        closureLength(id, importsOf, lengthOf) <= SMALL_LENGTH
      )
        small.add(id)
  },
}

const entryPaths = new Set(entries.map((entry) => join(SRC, `${entry}.ts`)))
/** Returns the chunk of a module. Null leaves the choice to the bundler, for an entry and for a module that is loaded late. */
function chunkOf(id) {
  const names = entryPaths.has(id) ? undefined : loaders.get(id)
  if (names === undefined) return null
  return small.has(id) ? 'common' : names.join('-')
}

rmSync(OUT, { recursive: true, force: true })
const bundle = await rolldown({
  input: Object.fromEntries(entries.map((entry) => [entry, join(SRC, `${entry}.ts`)])),
  external: (id) => !id.startsWith('.') && !id.startsWith('/'),
  platform: 'node',
  plugins: [noteLoaders],
  // Modules that two entries share are in a chunk, so no entry is extended (test/units/bundle compares the exports).
  preserveEntrySignatures: 'allow-extension',
})
await bundle.write({
  dir: OUT,
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: 'chunks/[name].js',
  comments: false,
  codeSplitting: {
    groups: [{ name: chunkOf, debugName: 'by program' }],
    includeDependenciesRecursively: false,
  },
})
await bundle.close()

const IMPORTED = /(?:from|import\()\s*['"](\.[^'"]+)\.(?:ts|js)['"]/g
const declarations = new Set(LIBRARY.map((entry) => join(DECLARATIONS, `${entry}.d.ts`)))
for (const path of declarations) {
  for (const [, imported] of readFileSync(path, 'utf8').matchAll(IMPORTED))
    declarations.add(`${resolve(dirname(path), imported)}.d.ts`)
  const copy = join(OUT, relative(DECLARATIONS, path))
  mkdirSync(dirname(copy), { recursive: true })
  copyFileSync(path, copy)
}
