// The rules of the guard and its messages. There are no hooks here: the same rules run in the main thread, in worker
// threads and in the thread in which Node 20 runs ES module hooks.

import { fileURLToPath } from 'node:url'
import type { FloorEntry, FloorFile } from './floor-file.ts'

export interface GuardRules {
  readonly entry: string
  /** Package name -> why it must not be loaded before ready. */
  readonly forbidden: Readonly<Record<string, string>>
}

export interface Violation {
  readonly packageName: string
  readonly message: string
}

/** The rules of one entry. Forbidden are: packages it denies, packages it allows only from a later phase, and
 *  packages that other entries list as heavy and this one does not list. */
export function guardRules(file: FloorFile, entry: string): GuardRules {
  const block: FloorEntry = file.entries[entry] ?? { allow: {}, may: [], deny: [], budgets: {} }
  const forbidden: Record<string, string> = {}
  for (const other of Object.values(file.entries))
    for (const name of Object.keys(other.allow))
      if (!(name in block.allow) && !block.may.includes(name))
        forbidden[name] = 'it is heavy and not on the allow list'
  for (const [name, phase] of Object.entries(block.allow))
    if (phase === 'ready' || phase === 'first-message') forbidden[name] = `it is allowed from '${phase}' on`
  for (const name of block.deny) forbidden[name] = 'it is denied'
  return { entry, forbidden }
}

/** Checks imports against the rules; remembers the first importer of each module for the chain in the message. */
export interface ImportChecker {
  /** Records the import and returns the violation, if there is one. */
  check(parentUrl: string | undefined, url: string): Violation | undefined
}

const MAX_REMEMBERED = 50_000

export function createImportChecker(rules: GuardRules, cwd: string): ImportChecker {
  const importedBy = new Map<string, string>()
  return {
    check(parentUrl, url) {
      if (
        parentUrl !== undefined &&
        parentUrl !== url &&
        !importedBy.has(url) &&
        importedBy.size < MAX_REMEMBERED
      )
        importedBy.set(url, parentUrl)
      const packageName = packageOfUrl(url)
      const reason = packageName === undefined ? undefined : rules.forbidden[packageName]
      if (packageName === undefined || reason === undefined) return undefined
      // The first import of the package has already been checked.
      if (parentUrl !== undefined && packageOfUrl(parentUrl) === packageName) return undefined
      return { packageName, message: violationText(rules, packageName, reason, chain(importedBy, url, cwd)) }
    },
  }
}

function violationText(rules: GuardRules, packageName: string, reason: string, steps: string): string {
  return (
    `Cannot load '${packageName}' before ready: ${reason} for '${rules.entry}'. Imported by ${steps}. ` +
    'Import it where it is used (byre/lazy), or allow it in the floor file.'
  )
}

function chain(importedBy: ReadonlyMap<string, string>, url: string, cwd: string): string {
  const steps = [url]
  for (let at = importedBy.get(url); at !== undefined && !steps.includes(at); at = importedBy.get(at))
    steps.push(at)
  return steps
    .toReversed()
    .map((step) => label(step, cwd))
    .join(' -> ')
}

function label(url: string, cwd: string): string {
  if (!url.startsWith('file:')) return url
  const path = fileURLToPath(url)
  const inPackage = path.lastIndexOf('/node_modules/')
  if (inPackage !== -1) return path.slice(inPackage + '/node_modules/'.length)
  return path.startsWith(`${cwd}/`) ? path.slice(cwd.length + 1) : path
}

const IN_PACKAGE = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//

function packageOfUrl(url: string): string | undefined {
  return IN_PACKAGE.exec(url)?.[1]
}
