// Puts the sources of a suite and what its tests need into the cache folder.
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
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { SourcesUnavailable, downloadSource, openApt } from '../apt.mjs'
import { MOCHA } from './suites.mjs'

const run = promisify(execFile)
const MARK = '.byre-conformance.json'
const INSTALL_LIMIT_MS = 300_000
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024

/** `{folder, version, source}`: the installed package with its tests, below `cache`. Fetched on first use and again when
 *  its entry in suites.mjs changes. Throws SourcesUnavailable. */
export async function prepareSuite(suite, cache, note) {
  const packages = join(cache, 'packages')
  const folder = join(packages, suite.name)
  const wanted = {
    mocha: MOCHA,
    debian: suite.debian,
    release: suite.release,
    npm: suite.npm,
    needs: suite.needs,
  }
  const mark = readMark(folder)
  if (mark !== undefined && JSON.stringify(mark.wanted) === JSON.stringify(wanted))
    return { folder, ...mark.is }
  mkdirSync(packages, { recursive: true })
  note(`fetching ${suite.name} with its tests into ${folder}`)
  const archive = await archiveOf(suite, packages)
  const unpacked = mkdtempSync(join(packages, 'unpacking-'))
  try {
    await run('tar', ['-xf', archive, '-C', unpacked, '--strip-components=1'])
    const version = writeManifest(unpacked, suite)
    await npm(['install', '--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund'], unpacked)
    const is = { version, source: suite.npm ?? `Debian's ${basename(archive)}` }
    writeFileSync(join(unpacked, MARK), JSON.stringify({ wanted, is }))
    rmSync(folder, { recursive: true, force: true })
    renameSync(unpacked, folder)
    return { folder, ...is }
  } finally {
    rmSync(unpacked, { recursive: true, force: true })
  }
}

function readMark(folder) {
  const path = join(folder, MARK)
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

async function archiveOf({ debian, release, npm: spec }, packages) {
  if (spec !== undefined) {
    const { stdout } = await npm(['pack', '--silent', '--pack-destination', packages, spec], packages)
    return join(packages, stdout.trim().split('\n').at(-1))
  }
  const kept = readdirSync(packages).find(
    (name) => name.startsWith(`${debian}_`) && /\.orig\.tar\.\w+$/.test(name),
  )
  return kept === undefined
    ? downloadSource(await openApt(packages, release), debian, packages)
    : join(packages, kept)
}

/** Of what the package needs for its own development only that what its tests load, and no scripts. */
function writeManifest(folder, { needs, runner }) {
  const path = join(folder, 'package.json')
  const { scripts: _, devDependencies = {}, ...manifest } = JSON.parse(readFileSync(path, 'utf8'))
  const unknown = needs.filter((name) => devDependencies[name] === undefined)
  if (unknown.length > 0)
    throw new Error(`Cannot install the tests of ${manifest.name}: it does not name ${unknown.join(', ')}.`)
  const kept = Object.fromEntries(needs.map((name) => [name, devDependencies[name]]))
  if (runner === 'mocha') kept.mocha = MOCHA
  for (const name of readdirSync(folder))
    if (/^(?:\.npmrc|.*lock.*\.json)$/.test(name)) rmSync(join(folder, name))
  writeFileSync(path, `${JSON.stringify({ ...manifest, devDependencies: kept }, null, 2)}\n`)
  return manifest.version
}

async function npm(args, cwd) {
  try {
    return await run('npm', args, { cwd, timeout: INSTALL_LIMIT_MS, maxBuffer: MAX_OUTPUT_BYTES })
  } catch (error) {
    const text = String(error.stderr || error.message)
      .trim()
      .split('\n')
      .slice(-3)
      .join(' ')
    throw new SourcesUnavailable(`npm ${args[0]} failed: ${text}`)
  }
}
