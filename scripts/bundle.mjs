// Bundles the command line, from what tsc left in dist/: dist/bundle/bin.js with its chunks, and in dist/bundle/herd/ what
// `byre supervise` and `byre run` load. In both, all that a start needs is one file: esbuild makes a chunk of its own of
// everything that two entries share, and each late import is an entry, so a start would read 51 files. Likewise for
// workers in processes and threads, in guest-process/ and guest-thread/.
//
// Everything in a chunk believes to be where it was: import.meta.url is its unbundled file, so that children, threads
// and package.json are found beside that. base/errors.js is not bundled, since ByreError is also what 'byre' exports.
import { build } from 'esbuild'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const DIST = fileURLToPath(new URL('../dist', import.meta.url))
const OUT = join(DIST, 'bundle')
const HERD = join(OUT, 'herd')
const inDist = (path) => join(DIST, path)
/** What the first line of a command needs. */
const LINE_ENTRIES = ['cli/entry.js', 'cli/parse.js', 'cli/run-command.js', 'cli/exit.js'].map(inDist)
/** What cli/entry.js fetches ahead for a herd. */
const HERD_ENTRIES = ['cli/commands/supervise.js', 'config/resolve.js'].map(inDist)
/** What a worker in a process or thread of its own starts with: who starts it, as it says it, and where it is from there. */
const GUESTS = [
  ['process', 'process-launch.js', 'child/process-entry.js'],
  ['thread', 'thread.js', 'child/thread-entry.js'],
].map(([kind, host, entry]) => ({
  host: inDist(`placement/${host}`),
  entry,
  file: inDist(`placement/${entry}`),
  folder: join(OUT, `guest-${kind}`),
}))
/** What a worker imports of byre: not from a bundle. */
const WORKER_ENTRIES = ['index.js', 'worker.js', 'lazy.js', 'guard.js'].map(inDist)
/** There may be two of these in a process: they have nothing but constants and functions without state. */
const MAY_BE_TWICE = ['exit-codes', 'check', 'guard-signal', 'suggest'].map((name) =>
  inDist(`base/${name}.js`),
)
const PUBLIC_CLASSES = inDist('base/errors.js')

/** How a module asks where it is, and what it is told instead. `define` works on the syntax tree: texts that look the
 *  same, in the sources of fixtures say, stay as they are. */
const define = {
  'import.meta.url': '__url',
  'import.meta.filename': '__filename',
  'import.meta.dirname': '__dirname',
}
/** The file of the chunk itself; not parsed, so not replaced. */
const banner = { js: 'const __chunk = import.meta.url;' }

function whereabouts(file, source) {
  const path = `process.getBuiltinModule('node:url').fileURLToPath(__url)`
  return [
    ['import.meta.', `const __url = new URL(${JSON.stringify(file)}, __chunk).href;`],
    ['import.meta.filename', `const __filename = ${path};`],
    ['import.meta.dirname', `const __dirname = ${path}.replace(/\\/[^/]*$/, '');`],
  ]
    .filter(([asked]) => source.includes(asked))
    .map(([, answer]) => answer)
    .join('')
}

const asUnbundled = (outdir) => ({
  name: 'as-unbundled',
  setup({ onLoad, onResolve }) {
    const external = (path) => ({ path: relative(outdir, path).replace(/^(?!\.)/, './'), external: true })
    onResolve({ filter: /\.js$/ }, ({ path, resolveDir, kind }) => {
      const file = join(resolveDir, path)
      if (file === PUBLIC_CLASSES) return external(file)
      if (outdir === OUT && kind === 'dynamic-import' && HERD_ENTRIES.includes(file))
        return external(join(HERD, basename(file)))
    })
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const source = withGuest(path, readFileSync(path, 'utf8'))
      return { contents: whereabouts(relative(outdir, path), source) + source, loader: 'js' }
    })
  },
})

/** The one who starts a guest starts the bundled one. */
function withGuest(path, source) {
  const guest = GUESTS.find(({ host }) => host === path)
  if (guest === undefined) return source
  const bundled = relative(dirname(path), join(guest.folder, basename(guest.file)))
  return replaceIn(path, source, `'${guest.entry}'`, `'${bundled}'`)
}

function replaceIn(path, text, what, by) {
  if (!text.includes(what)) throw new Error(`${path} does not contain ${what} any more`)
  return text.replace(what, by)
}

const common = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  logLevel: 'warning',
  banner,
}
/** esbuild's account of what it read and wrote. */
async function metafileOf(outdir, entryPoints, write = true) {
  const { metafile } = await build({
    ...common,
    entryPoints,
    outdir,
    entryNames: '[name]',
    chunkNames: '[name]-[hash]',
    splitting: true,
    metafile: true,
    write,
    define,
    plugins: [asUnbundled(outdir)],
  })
  return metafile
}

/** Its account of what it wrote, by file name. */
async function bundle(outdir, entryPoints) {
  const { outputs } = await metafileOf(outdir, entryPoints)
  return new Map(Object.entries(outputs).map(([path, output]) => [basename(path), output]))
}

const named = (entries) => entries.map((path) => basename(path))

/** Names of the files `entries` load at once, from esbuild's account of a folder. */
function loadedAtOnce(outputs, entries) {
  const found = new Set(entries)
  for (const name of found)
    for (const { path, kind, external } of outputs.get(name).imports)
      if (kind === 'import-statement' && !external) found.add(basename(path))
  return [...found]
}

/** Makes one file of what `entries` load at once: the first of them. Each other file it was made of stays, and hands its
 *  names on: the late chunks ask for it by its old name, and get what the start has loaded. */
async function joinStart(folder, outputs, entries) {
  const parts = loadedAtOnce(outputs, entries)
  const newName = (i, name) => (i === 0 ? name : `part${i}_${name}`)
  const renamed = (i, as) => outputs.get(parts[i]).exports.map(as).join(', ')
  const handOn = (part, i) =>
    `export { ${renamed(i, (name) => `${name} as ${newName(i, name)}`)} } from './${part}';\n`
  const { outputFiles } = await build({
    ...common,
    stdin: { contents: parts.map(handOn).join(''), resolveDir: folder },
    write: false,
    // So that no part that only acts is dropped.
    ignoreAnnotations: true,
    plugins: [partsOnly(parts)],
  })
  const [start] = parts
  writeFileSync(join(folder, start), outputFiles[0].text)
  for (const [i, part] of parts.entries())
    if (i > 0)
      writeFileSync(
        join(folder, part),
        `export { ${renamed(i, (name) => `${newName(i, name)} as ${name}`)} } from './${start}';\n`,
      )
}

const partsOnly = (parts) => ({
  name: 'parts-only',
  setup(joined) {
    joined.onResolve({ filter: /^\./ }, ({ path, kind }) => {
      const late = kind === 'dynamic-import' || !parts.includes(path.slice(2))
      return late ? { path, external: true } : undefined
    })
    // The new file has the banner once.
    joined.onLoad({ filter: /\.js$/ }, ({ path }) => ({
      contents: replaceIn(path, readFileSync(path, 'utf8'), banner.js, ''),
      loader: 'js',
    }))
  },
})

const inputsOf = (outputs, names = [...outputs.keys()]) =>
  new Set(names.flatMap((name) => Object.keys(outputs.get(name).inputs)).map((path) => resolve(path)))

/** All that a worker can load of byre by what it imports; errors.js, which it shares, is not among them. */
async function inputsOfWorkers() {
  const { inputs } = await metafileOf(OUT, WORKER_ENTRIES, false)
  return new Set(Object.keys(inputs).map((path) => resolve(path)))
}

/** A module of which a process has two instances may have no state: two registries, each with half of it. */
function refuseTwins(one, files, other, otherFiles) {
  for (const file of files)
    if (otherFiles.has(file) && !MAY_BE_TWICE.includes(file))
      throw new Error(
        `${file} is loaded for ${one} and again for ${other}: import it late in one of them, or see MAY_BE_TWICE`,
      )
}

rmSync(OUT, { recursive: true, force: true })
const line = await bundle(OUT, LINE_ENTRIES)
const herd = await bundle(HERD, HERD_ENTRIES)
const ofWorkers = await inputsOfWorkers()
const started = loadedAtOnce(line, named(LINE_ENTRIES))
refuseTwins('the command line', inputsOf(line, started), 'the herd', inputsOf(herd))
refuseTwins('the herd', inputsOf(herd), 'its workers', ofWorkers)
await joinStart(OUT, line, named(LINE_ENTRIES))
await joinStart(HERD, herd, named(HERD_ENTRIES))
for (const { file, folder } of GUESTS) {
  const guest = await bundle(folder, [file])
  refuseTwins(basename(file), inputsOf(guest), 'its worker', ofWorkers)
  await joinStart(folder, guest, named([file]))
}
const bin = inDist('bin.js')
writeFileSync(join(OUT, 'bin.js'), replaceIn(bin, readFileSync(bin, 'utf8'), './cli/entry.js', './entry.js'))
