// Asks every supervise process of a herd on this host for its status: the sockets in the herd's run directory are the
// only register there is. Bounded in time, and by how many are asked at once.

import { basename } from 'node:path'
import { describeThrown } from '../base/errors.ts'
import { isRecord } from '../base/check.ts'
import type { SupervisorStatus } from '../herd/status.ts'
import { ask } from './client.ts'

export interface Reached {
  readonly socketPath: string
  readonly status: SupervisorStatus
}

/** A socket whose process could not be asked. */
export interface Unreachable {
  readonly socketPath: string
  /** From the file name: the group, `_all`, or `run-<worker>`. */
  readonly name: string
  /** An errno, 'timeout', 'malformed', ... ; ECONNREFUSED means that the process is gone. */
  readonly code: string
  readonly reason: string
}

export interface Survey {
  /** In the order of their socket names. */
  readonly reached: readonly Reached[]
  readonly unreachable: readonly Unreachable[]
}

const AT_ONCE = 16

/** Asks all of `socketPaths`; each has `timeoutMs` to answer. Never rejects: who does not answer is in `unreachable`. */
export async function survey(socketPaths: readonly string[], timeoutMs: number): Promise<Survey> {
  const reached: (Reached | undefined)[] = []
  const unreachable: Unreachable[] = []
  const waiting = [...socketPaths.entries()]
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, socketPath] = next
      const answer = await askOne(socketPath, timeoutMs)
      if ('status' in answer) reached[index] = answer
      else unreachable.push(answer)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  return {
    reached: reached.filter((r) => r !== undefined),
    unreachable: unreachable.toSorted((a, b) => (a.socketPath < b.socketPath ? -1 : 1)),
  }
}

async function askOne(socketPath: string, timeoutMs: number): Promise<Reached | Unreachable> {
  const name = basename(socketPath, '.sock')
  const malformed = (fact: string): Unreachable => {
    const reason = `Cannot use the answer of '${socketPath}': it is not the status of a supervisor (${fact}).`
    return { socketPath, name, code: 'malformed', reason }
  }
  try {
    const { status, body } = await ask(socketPath, { method: 'GET', path: '/workers', timeoutMs })
    const value: unknown = JSON.parse(body)
    return status === 200 && isStatus(value)
      ? { socketPath, status: value }
      : malformed(`it answered ${status}`)
  } catch (error) {
    const { message } = describeThrown(error)
    const { details } = error as { details?: { reason?: string } }
    if (details?.reason === undefined) return malformed(message)
    return { socketPath, name, code: details.reason, reason: message }
  }
}

/** As much of the shape as the readers walk into; versions may differ between two processes of one herd. */
function isStatus(value: unknown): value is SupervisorStatus {
  if (!isRecord(value) || !Array.isArray(value['workers'])) return false
  const workers: readonly unknown[] = value['workers']
  const texts = typeof value['herd'] === 'string' && typeof value['group'] === 'string'
  const parts = [value['process'], value['bus'], value['phases']].every(isRecord)
  return texts && parts && typeof value['pid'] === 'number' && workers.every(isWorker)
}

function isWorker(value: unknown): boolean {
  return isRecord(value) && typeof value['name'] === 'string' && typeof value['state'] === 'string'
}
