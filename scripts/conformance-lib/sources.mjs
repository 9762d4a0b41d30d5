// Node's own test files, from Debian's source package of nodejs, in a cache folder.
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { downloadSource, openApt } from './apt.mjs'
import { isCandidate } from './selection.mjs'

const PACKAGE = 'nodejs'
const FOLDERS = ['parallel', 'async-hooks']
/** As far as a `// Flags:` line is looked for. */
const HEAD_CHARS = 3000

/** $XDG_CACHE_HOME/byre-conformance, default ~/.cache/byre-conformance. */
export const cacheFolder = (env = process.env) =>
  join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'byre-conformance')

/** `{root, version}`: a folder with Node's `test/`, made fit for hosting, and the version of the tests. Fetched on first
 *  use. Throws SourcesUnavailable. */
export async function nodeTests(cache, note) {
  mkdirSync(cache, { recursive: true })
  const ready = readdirSync(cache)
    .filter((name) => /^node-[\d.]+$/.test(name))
    .sort()
  if (ready.length === 0) ready.push(await unpack(await archiveOf(cache, note), cache))
  const name = ready.at(-1)
  return { root: join(cache, name), version: name.slice('node-'.length) }
}

async function archiveOf(cache, note) {
  const kept = readdirSync(cache).find((name) => /^nodejs_.*\.orig\.tar\.\w+$/.test(name))
  if (kept !== undefined) return join(cache, kept)
  note(`fetching Debian's source package of ${PACKAGE} into ${cache}`)
  return downloadSource(await openApt(cache), PACKAGE, cache)
}

// Unpacked beside its place and renamed, so that a run that was ended leaves no half of it.
async function unpack(archive, cache) {
  const version = /_([\d.]+)/.exec(basename(archive))[1]
  const target = join(cache, `node-${version}`)
  const folder = mkdtempSync(join(cache, 'unpacking-'))
  try {
    const args = ['-xf', archive, '-C', folder, '--strip-components=1', '--wildcards', '*/test/*']
    await promisify(execFile)('tar', args)
    for (const [name, change] of Object.entries(CHANGES)) {
      const path = join(folder, 'test', name)
      writeFileSync(path, change(readFileSync(path, 'utf8')))
    }
    if (!existsSync(target)) renameSync(folder, target)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return basename(target)
}

/** Changes to Node's test helpers without which nearly every file would be refused for the same line of the helper. */
const CHANGES = {
  'common/index.js': (text) => {
    // Another umask is refused in the shared loop: set it only where it is another.
    let changed = replace(
      text,
      /if \(isMainThread\)\s+process\.umask\(0o022\);/,
      'if (isMainThread && process.umask() !== 0o022) process.umask(0o022);',
    )
    // Ten times the time-out at each load of the helper: once is enough where it is loaded for many files.
    changed = replace(
      changed,
      /^net\.setDefaultAutoSelectFamilyAttemptTimeout\(/m,
      'if (net.getDefaultAutoSelectFamilyAttemptTimeout() < 2000) net.setDefaultAutoSelectFamilyAttemptTimeout(',
    )
    // A newer Node has globals the helper does not know: what is there before the file runs is no leak of it.
    changed = replace(
      changed,
      /if \(val !== 'crypto' && /,
      "if (val !== 'crypto' && !globalsAtLoad.has(val) && ",
    )
    changed = replace(
      changed,
      /^ {2}function leakedGlobals\(\) \{$/m,
      '  const globalsAtLoad = new Set();\n  for (const name in global) globalsAtLoad.add(name);\n$&',
    )
    return `${changed}\nmodule.mustCallChecks = mustCallChecks;\n`
  },
  // An ES module is evaluated once, so its checks are those of the copy of index.js it was evaluated with.
  'common/index.mjs': (text) =>
    `${text}\nexport const mustCallChecks = require.cache[require.resolve('./index.js')].mustCallChecks;\n`,
  // For the sake of Windows it leaves its folder at the end; chdir is refused in the shared loop.
  'common/tmpdir.js': (text) => replace(text, /if \(isMainThread\)\s+process\.chdir\(testRoot\);/, ''),
}

function replace(text, pattern, replacement) {
  if (!pattern.test(text)) throw new Error(`Cannot prepare Node's test helpers: they have no ${pattern}.`)
  return text.replace(pattern, replacement)
}

/** Names below test/ of the files that concern hosting and need no flags of their own. */
export function listCandidates(root) {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(root, 'test', folder)).map((name) => `${folder}/${name}`),
  )
    .filter((file) => isCandidate(file))
    .filter(
      (file) => !/^\/\/ Flags:/m.test(readFileSync(join(root, 'test', file), 'utf8').slice(0, HEAD_CHARS)),
    )
    .sort()
}
