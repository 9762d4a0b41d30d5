// The folders of the packages that byre itself loads, with those that they need. Read from package.json files, not by walking
// their imports, because byre loads most of them late.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isRecord } from '../base/check.ts'
import { realFile } from './files.ts'

/** `ownRoot`: the folder of byre's code, inside its package. */
export function ownPackages(ownRoot: string): ReadonlySet<string> {
  const folders = new Set<string>()
  const own = ancestors(ownRoot).find((folder) => existsSync(join(folder, 'package.json')))
  if (own === undefined) return folders
  const ahead = [own]
  for (let folder = ahead.pop(); folder !== undefined; folder = ahead.pop())
    for (const name of dependenciesOf(folder)) {
      const found = packageAt(name, folder)
      if (found === undefined || folders.has(found)) continue
      folders.add(found)
      ahead.push(found)
    }
  return folders
}

/** The folder of the package to which `file` belongs; undefined outside node_modules. */
export function packageFolderOf(file: string): string | undefined {
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]
}

function packageAt(name: string, from: string): string | undefined {
  for (const folder of ancestors(from)) {
    const path = join(folder, 'node_modules', name)
    if (existsSync(join(path, 'package.json'))) return realFile(path)
  }
  return undefined
}

function dependenciesOf(folder: string): string[] {
  try {
    const parsed: unknown = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const { dependencies, optionalDependencies } = isRecord(parsed) ? parsed : {}
    return [dependencies, optionalDependencies].flatMap((each) => (isRecord(each) ? Object.keys(each) : []))
  } catch {
    return []
  }
}

/** `folder` and the folders above it. */
function ancestors(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [folder] : [folder.replace(/\/$/, ''), ...ancestors(parent)]
}
