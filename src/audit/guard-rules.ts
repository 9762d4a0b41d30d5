// What the guard forbids, and what it says. No hooks here: the same rules run in the main thread, in worker threads and
// in the thread Node 20 runs ES module hooks in.

import { fileURLToPath } from 'node:url'
import type { FloorEntry, FloorFile } from './floor-file.ts'

export interface GuardRules {
  readonly entry: string
  /** Package -> why it may not be loaded before ready. */
  readonly forbidden: Readonly<Record<string, string>>
}

export interface Violation {
  readonly packageName: string
  readonly message: string
}

/** The rules of one entry: what it denies, what it allows only later, and what other entries are known to find heavy
 *  but this one neither allows nor may load. */
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

/** Follows imports and judges each; remembers who imported what first, for the chain. */
export interface Watch {
  /** Notes parent -> url, and says whether it breaks a rule. */
  judge(parentUrl: string | undefined, url: string): Violation | undefined
}

const MAX_REMEMBERED = 50_000

export function createWatch(rules: GuardRules, cwd: string): Watch {
  const importedBy = new Map<string, string>()
  return {
    judge(parentUrl, url) {
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
      // Inside the package the first import has been judged already.
      if (parentUrl !== undefined && packageOfUrl(parentUrl) === packageName) return undefined
      return { packageName, message: violationText(rules, packageName, reason, chain(importedBy, url, cwd)) }
    },
  }
}

function violationText(rules: GuardRules, packageName: string, reason: string, steps: string): string {
  return (
    `Cannot load '${packageName}' before ready: ${reason} for '${rules.entry}', got ${steps}. ` +
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
