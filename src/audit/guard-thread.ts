// The module of the thread in which Node 20 and early Node 22 run ES module hooks. Later versions do not load it.

import { createImportChecker, type GuardRules, type ImportChecker } from './guard-rules.ts'

export interface GuardThreadData {
  readonly rules: GuardRules
  readonly cwd: string
  readonly warn: boolean
  /** [0] is 1 once the program is ready. */
  readonly ready: Int32Array<SharedArrayBuffer>
  readonly port: { postMessage(message: string): void; unref?(): void }
}

let checker: ImportChecker | undefined
let data: GuardThreadData | undefined

export function initialize(given: GuardThreadData): void {
  data = given
  checker = createImportChecker(given.rules, given.cwd)
}

type Next = (specifier: string, context: unknown) => Promise<{ url: string }>

export async function resolve(
  specifier: string,
  context: { readonly parentURL?: string },
  next: Next,
): Promise<{ url: string }> {
  const result = await next(specifier, context)
  const violation = checker?.check(context.parentURL, result.url)
  if (violation === undefined || data === undefined || Atomics.load(data.ready, 0) === 1) return result
  data.port.postMessage(violation.message)
  if (data.warn) return result
  throw Object.assign(new Error(violation.message), { code: 'BYRE_AUDIT_GUARD' })
}
