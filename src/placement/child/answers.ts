// Answers the supervisor's requests about loop and heap, in a child that hosts a module and in one that hosts a script. A
// separate file because the process of a script loads nothing else of a child.

import { getHeapStatistics } from 'node:v8'
import { systemClock } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import type { HeapFigures } from '../../herd/status.ts'
import type { StackOwners } from '../../ownership/stack.ts'
import { line, packError } from '../wire/protocol.ts'
import type { ChildProfileRequest, Init, WireLine } from '../wire/protocol.ts'

/** Sends one line; `text` has no newline. */
type Send = (text: string) => void

/** Answers a line of the supervisor; returns false for any other line. `init` is the supervisor's first line. */
export function answer([tag, ...values]: WireLine, send: Send, init: Init): boolean {
  if (tag === 'heartbeat') send(line('heartbeat', values[0]))
  else if (tag === 'heap') send(line('heap', heapFigures()))
  else if (tag === 'collect') void collect(send)
  else if (tag === 'profile') void profile(values[0] as ChildProfileRequest, values[1], send, init)
  else return false
  return true
}

async function profile(
  { folder, label, ...request }: ChildProfileRequest,
  number: unknown,
  send: Send,
  { spec, ownRoot }: Init,
): Promise<void> {
  const owners = async (): Promise<StackOwners> => ({ byModule: new Map(), ownRoot })
  try {
    const { takeProfile } = await import('../../watch/profile/profile.ts')
    const source = { owners, only: spec.name, folder, label: `${label}.${spec.name}`, clock: systemClock }
    send(line('profile', number, await takeProfile(request, source)))
  } catch (error) {
    send(line('profile', number, null, packError(error)))
  }
}

/** The group is short of memory. */
async function collect(send: Send): Promise<void> {
  try {
    const { collectAll } = await import('../../watch/collect-garbage.ts')
    await collectAll()
    send(line('heap', heapFigures()))
  } catch (error) {
    const fields = { level: DEBUG, event: 'not-collected', ...describeThrown(error) }
    send(line('log', { ...fields, msg: 'garbage collection on request failed' }))
  }
}

/** pino's number of the level. */
const DEBUG = 20

/** Figures of this thread's heap, as V8 counts them. */
function heapFigures(): HeapFigures {
  const { heapUsed, heapTotal, external } = process.memoryUsage()
  const { heap_size_limit } = getHeapStatistics()
  return { usedBytes: heapUsed, totalBytes: heapTotal, externalBytes: external, limitBytes: heap_size_limit }
}
