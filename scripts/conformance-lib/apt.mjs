// Source packages of Debian, fetched with apt from the machine's own mirror. Nothing of the machine's apt is changed: the
// list of sources, the index and the cache are files of our own folder.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** The Debian release whose source packages are used if no other is named: the first with Node 20. */
const RELEASE = 'trixie'
const APT_FOLDER = '/etc/apt'
const APT_HELPER = '/usr/lib/apt/apt-helper'
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024
const UPDATE_LIMIT_MS = 180_000
const DOWNLOAD_LIMIT_MS = 300_000

/** A source package cannot be had here: no Debian, no network, or not in the mirror. */
export class SourcesUnavailable extends Error {
  code = 'SOURCES_UNAVAILABLE'
}

/** The first Debian mirror, `{uri, signedBy}`, named by files of sources: `[{name, text}]`. undefined: there is none. @public (tests import it) */
export function findMirror(files) {
  for (const { name, text } of files) {
    const entries = name.endsWith('.sources') ? parseStanzas(text) : parseLines(text)
    const entry = entries.find(({ uri }) => /^https?:\/\/.*\/debian\/?$/.test(uri))
    if (entry !== undefined) return entry
  }
  return undefined
}

function parseStanzas(text) {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const field = (name) => new RegExp(`^${name}:[ \\t]*(.+)$`, 'im').exec(stanza)?.[1].trim()
    if (/^no$/i.test(field('Enabled') ?? '')) return []
    const signedBy = field('Signed-By')
    const uris = (field('URIs') ?? '').split(/\s+/)
    return uris.map((uri) => ({ uri, ...(signedBy?.startsWith('/') ? { signedBy } : {}) }))
  })
}

function parseLines(text) {
  return [...text.matchAll(/^deb(?:-src)?[ \t]+(?:\[([^\]]*)\][ \t]+)?(\S+)/gm)].map(
    ([, options = '', uri]) => {
      const signedBy = /signed-by=(\S+)/.exec(options)?.[1]
      return { uri, ...(signedBy === undefined ? {} : { signedBy }) }
    },
  )
}

function readSourcesFiles() {
  const names = ['sources.list']
  const parts = join(APT_FOLDER, 'sources.list.d')
  if (existsSync(parts))
    for (const name of readdirSync(parts).sort())
      if (/\.(?:list|sources)$/.test(name)) names.push(`sources.list.d/${name}`)
  return names
    .map((name) => join(APT_FOLDER, name))
    .filter((path) => existsSync(path))
    .map((path) => ({ name: path, text: readFileSync(path, 'utf8') }))
}

/** `[{uri, name, hash}]` of what `apt-get source --print-uris` printed. @public (tests import it) */
export function parseUris(text) {
  return [...text.matchAll(/^'([^']+)' (\S+) \d+ (\S+)$/gm)].map(([, uri, name, hash]) => ({
    uri,
    name,
    hash,
  }))
}

/** Prepares `folder` for `downloadSource`: the mirror's index of the source packages of a release. Throws
 *  SourcesUnavailable. */
export async function openApt(folder, release = RELEASE) {
  const mirror = findMirror(readSourcesFiles())
  if (mirror === undefined || !existsSync(APT_HELPER))
    throw new SourcesUnavailable(`no Debian mirror is named in ${APT_FOLDER}`)
  const state = join(folder, `apt-${release}`)
  for (const name of ['lists', 'cache']) mkdirSync(join(state, name), { recursive: true })
  const list = join(state, 'sources.list')
  const trust = mirror.signedBy === undefined ? '' : `[signed-by=${mirror.signedBy}] `
  writeFileSync(list, `deb-src ${trust}${mirror.uri} ${release} main\n`)
  const options = Object.entries({
    'Dir::Etc::SourceList': list,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(state, 'lists'),
    'Dir::Cache': join(state, 'cache'),
    'APT::Update::Error-Mode': 'any',
    'Acquire::Retries': '1',
  }).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  await call('apt-get', [...options, '-q', 'update'], UPDATE_LIMIT_MS)
  return { options }
}

/** Downloads the original source of a package, one `.orig.tar.*`, into `folder` and returns its path. The packaging files
 *  beside it are not needed; a mirror often has replaced them already when its index still names them. */
export async function downloadSource(apt, name, folder) {
  const { stdout } = await call('apt-get', [...apt.options, 'source', '--print-uris', name], UPDATE_LIMIT_MS)
  const file = parseUris(stdout).find((entry) => /\.orig\.tar\.\w+$/.test(entry.name))
  if (file === undefined) throw new SourcesUnavailable(`the mirror's index has no original source of ${name}`)
  const path = join(folder, file.name)
  if (existsSync(path)) return path
  // Checked against the signed index before it has its name.
  const part = `${path}.${process.pid}`
  await call(APT_HELPER, [...apt.options, 'download-file', file.uri, part, file.hash], DOWNLOAD_LIMIT_MS)
  renameSync(part, path)
  return path
}

async function call(command, args, timeout) {
  try {
    return await run(command, args, {
      timeout,
      maxBuffer: MAX_OUTPUT_BYTES,
      env: { ...process.env, LC_ALL: 'C' },
    })
  } catch (error) {
    const text = String(error.stderr || error.message)
      .trim()
      .split('\n')
      .slice(-3)
      .join(' ')
    throw new SourcesUnavailable(`${command} failed: ${text}`)
  }
}
