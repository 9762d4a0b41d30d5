// Whether an object is made by the evaluation of a worker's entry module, or by that of a module it imports.

import { modulePath, pathsAt } from '../../base/module-path.ts'

const FRAMES = 64
/** Frames of Node between the evaluation of a CommonJS module and the require() that asked for it. */
const EVALUATION = /^node:internal\/modules\/(?:cjs|esm)\//

/**
 * From the caller outwards: the entry module is reached before the evaluation of another module is left. An ES module
 * that is imported is evaluated with none of its importers on the stack. Some 20 us; called only while modules load.
 */
export function madeByEntry(entry: string): boolean {
  for (const file of filesOnStack()) {
    if (EVALUATION.test(file)) return false
    const path = modulePath(file)
    if (path !== undefined && pathsAt(path).includes(entry)) return true
  }
  return false
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
