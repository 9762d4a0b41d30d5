// Runs the witness in the real program: a preload that watches named packages until the program is ready (byre lifts
// the import guard), or until it has been ready for one second without a message. It then writes the result to
// descriptor 3 and sends the process SIGTERM.

import { writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { GUARD_SYMBOL } from '../../base/guard-signal.ts'
import { installWitness } from './witness.ts'

export interface WitnessResult {
  readonly firstUse: Readonly<Record<string, string>>
  readonly seen: readonly string[]
}

const RESULT_FD = 3
/** Time after ready in which a program may still prepare for its first message. */
const AFTER_READY_MS = 1000

const packages = process.env['BYRE_WITNESS']?.split(',') ?? []
const untilReady = process.env['BYRE_WITNESS_UNTIL'] !== 'first-message'
// Threads inherit the preload; only the main thread is watched.
if (isMainThread && packages.length > 0) {
  delete process.env['BYRE_WITNESS']
  const { firstUse, seen } = await installWitness(packages)
  let reported = false
  const report = (): void => {
    if (reported) return
    reported = true
    writeSync(
      RESULT_FD,
      JSON.stringify({ firstUse: Object.fromEntries(firstUse), seen: [...seen] } satisfies WitnessResult),
    )
    process.kill(process.pid, 'SIGTERM')
  }
  const ready = (): void => {
    if (untilReady) report()
    else setTimeout(report, AFTER_READY_MS)
  }
  Object.defineProperty(globalThis, GUARD_SYMBOL, { value: { ready }, configurable: true })
}
