// Bundles the command line: dist/bundle/bin.js and its chunks, from what tsc left in dist/. `byre supervise` needs 117 small
// files; reading them one by one costs it 20 ms of start and 0.7 MB. What is imported late stays a chunk of its own.
//
// Everything in a chunk believes to be where it was: import.meta.url is its unbundled file, so that children, threads
// and package.json are found beside that. base/errors.js is not bundled, since ByreError is also what 'byre' exports.
import { build } from 'esbuild'
import { readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const DIST = fileURLToPath(new URL('../dist', import.meta.url))
const OUT = join(DIST, 'bundle')
const PUBLIC_CLASSES = join(DIST, 'base/errors.js')

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

const asUnbundled = {
  name: 'as-unbundled',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /errors\.js$/ }, ({ path, resolveDir }) => {
      if (join(resolveDir, path) === PUBLIC_CLASSES) return { path: '../base/errors.js', external: true }
    })
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const file = `../${relative(DIST, path)}`
      const source = readFileSync(path, 'utf8')
      return { contents: whereabouts(file, source) + source, loader: 'js' }
    })
  },
}

rmSync(OUT, { recursive: true, force: true })
await build({
  entryPoints: [join(DIST, 'bin.js')],
  outdir: OUT,
  entryNames: '[name]',
  chunkNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  packages: 'external',
  logLevel: 'warning',
  define,
  banner,
  plugins: [asUnbundled],
})
