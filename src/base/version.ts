// Reads the version of this package from the nearest package.json above this file.

import { readFileSync } from 'node:fs'

/** Returns the version, such as '0.1.0'. Throws when the installation has no package.json. */
export function ownVersion(): string {
  for (const up of ['../../', '../../../']) {
    const file = new URL(`${up}package.json`, import.meta.url)
    const text = readIfThere(file)
    if (text === undefined) continue
    const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown }
    if (name === 'byre') return String(version)
  }
  throw new Error(
    'Cannot read the version: the package.json of byre is missing from its installation. Install byre again.',
  )
}

function readIfThere(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
