// The witness in a real program: a preload that watches named packages until the program is ready (what lifts the import
// guard says so), or until it has stood ready for a while without a message, then tells on descriptor 3 and asks it to stop.

import { writeSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { GUARD_SYMBOL } from '../../base/guard-signal.ts'
import { installWitness } from './witness.ts'

export interface WitnessAnswer {
  readonly firstUse: Readonly<Record<string, string>>
  readonly seen: readonly string[]
}

const ANSWER_FD = 3
/** How long a program that is ready may go on preparing itself for its first message. */
const SETTLE_MS = 1000

const packages = process.env['BYRE_WITNESS']?.split(',') ?? []
const untilReady = process.env['BYRE_WITNESS_UNTIL'] !== 'first-message'
// Threads inherit the preload; what is watched is the program.
if (isMainThread && packages.length > 0) {
  delete process.env['BYRE_WITNESS']
  const { firstUse, seen } = await installWitness(packages)
  let told = false
  const tell = (): void => {
    if (told) return
    told = true
    writeSync(
      ANSWER_FD,
      JSON.stringify({ firstUse: Object.fromEntries(firstUse), seen: [...seen] } satisfies WitnessAnswer),
    )
    process.kill(process.pid, 'SIGTERM')
  }
  const ready = (): void => {
    if (untilReady) tell()
    else setTimeout(tell, SETTLE_MS)
  }
  Object.defineProperty(globalThis, GUARD_SYMBOL, { value: { ready }, configurable: true })
}
