// Which module a stack evaluates: the entry module of a worker, or one that it imports.

import { modulePath, pathsAt } from '../base/module-path.ts'

const FRAMES = 64
/** Frames of Node between the evaluation of a CommonJS module and the require() that asked for it. */
const EVALUATION = /^node:internal\/modules\/(?:cjs|esm)\//

/**
 * 'entry': the module at `entry` is evaluated, or a function of it was called. 'other': another module is evaluated.
 * Undefined when neither is on the stack. Read from the caller outwards: the entry module is reached before the
 * evaluation of another module is left, and an ES module that is imported is evaluated with none of its importers on
 * the stack. Some 20 us; called only while modules load.
 */
export function evaluatedHere(entry: string): 'entry' | 'other' | undefined {
  for (const file of filesOnStack()) {
    if (EVALUATION.test(file)) return 'other'
    const path = modulePath(file)
    if (path !== undefined && pathsAt(path).includes(entry)) return 'entry'
  }
  return undefined
}

/** File names and URLs of the stack, innermost first. */
function filesOnStack(): string[] {
  const { stackTraceLimit } = Error
  const formatter = Object.getOwnPropertyDescriptor(Error, 'prepareStackTrace')
  try {
    Error.stackTraceLimit = FRAMES
    Error.prepareStackTrace = (_, sites) => sites
    const { stack } = new Error('where') as unknown as { stack: NodeJS.CallSite[] }
    return stack.map((site) => site.getFileName() ?? '')
  } finally {
    if (formatter === undefined) Reflect.deleteProperty(Error, 'prepareStackTrace')
    else Object.defineProperty(Error, 'prepareStackTrace', formatter)
    Error.stackTraceLimit = stackTraceLimit
  }
}
