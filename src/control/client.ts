// HTTP requests over control sockets, written by hand on node:net: a supervisor queries its siblings at every start, and neither it
// nor `byre status` can afford node:http (12.6 MB of RSS on Node 24).

import { connect } from 'node:net'
import { basename } from 'node:path'
import { isRecord } from '../base/check.ts'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'
import { ByreError, describeThrown } from '../base/errors.ts'
import type { SupervisorStatus } from '../herd/status.ts'

export interface AskOptions {
  readonly method: 'GET' | 'POST'
  /** Percent-encoded, e.g. `/workers/mail/restart`. */
  readonly path: string
  /** JSON text. */
  readonly body?: string
  /** Limit for the whole exchange. @default 5000 */
  readonly timeoutMs?: number
  /** Longest accepted answer; 1000 workers with evidence take about 1 MB. @default 16 MiB */
  readonly maxBytes?: number
  /** @default systemClock */
  readonly clock?: Clock
}

export interface Answer {
  /** HTTP status. */
  readonly status: number
  readonly body: string
}

/** The state of the process behind a socket file, from a connection attempt. */
export type Presence = 'live' | 'dead' | 'absent'

const DEFAULTS = { timeoutMs: 5000, maxBytes: 16 * 1024 * 1024 }

/**
 * Sends a request to the control server at `socketPath`. Rejects with BYRE_CONTROL_UNREACHABLE when nothing listens there, or the
 * answer is late, too long or not HTTP; `details.reason` is the errno, 'timeout', 'too-long' or 'malformed'.
 */
export function ask(socketPath: string, options: AskOptions): Promise<Answer> {
  const { timeoutMs = DEFAULTS.timeoutMs, maxBytes = DEFAULTS.maxBytes, clock = systemClock } = options
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath })
    const chunks: Buffer[] = []
    let bytes = 0
    const fail = (reason: string, fact: string): void => {
      timer.cancel()
      socket.destroy()
      reject(unreachable(socketPath, reason, fact))
    }
    const timer = clock.setTimer(timeoutMs, () => fail('timeout', `it did not answer within ${timeoutMs} ms`))
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > maxBytes) fail('too-long', `its answer is longer than ${maxBytes} bytes`)
    })
    const finish = (): void => {
      const answer = parseAnswer(Buffer.concat(chunks).toString('utf8'))
      if (answer === undefined) return fail('malformed', 'its answer is not HTTP')
      timer.cancel()
      socket.destroy()
      resolve(answer)
    }
    socket.on('end', finish)
    // A server that refuses before it has read everything closes the socket during our write; its answer has arrived already.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (bytes > 0) return finish()
      fail(error.code ?? 'error', describeErrno(error))
    })
    socket.write(requestText(options))
  })
}

/** Checks whether a process listens on `socketPath` by connecting and closing at once. Rejects on any other error (no permission). */
export function presence(socketPath: string): Promise<Presence> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath })
    socket.once('connect', () => {
      socket.destroy()
      resolve('live')
    })
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve('dead')
      else if (error.code === 'ENOENT') resolve('absent')
      else if (error.code === 'EAGAIN')
        resolve('live') // its backlog is full, so a process listens
      else reject(unreachable(socketPath, error.code ?? 'error', describeErrno(error)))
    })
  })
}

/** With HTTP/1.0 the server never answers in chunks, and closes the connection after its answer. */
function requestText(options: AskOptions): string {
  const body = options.body ?? ''
  const head = [`${options.method} ${options.path} HTTP/1.0`, 'Host: byre', 'Connection: close']
  if (options.body !== undefined)
    head.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`)
  return `${head.join('\r\n')}\r\n\r\n${body}`
}

function parseAnswer(text: string): Answer | undefined {
  const end = text.indexOf('\r\n\r\n')
  const match = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(text)
  if (end === -1 || match === null) return undefined
  const body = text.slice(end + 4)
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text.slice(0, end + 2))
  if (length !== null && Buffer.byteLength(body) < Number(length[1])) return undefined // truncated
  return { status: Number(match[1]), body }
}

function describeErrno(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'there is no such socket'
  if (error.code === 'ECONNREFUSED') return 'the process that created the socket is gone'
  if (error.code === 'EACCES') return 'permission denied, the socket belongs to another user'
  return error.message
}

function unreachable(socketPath: string, reason: string, fact: string): ByreError {
  return new ByreError(
    'BYRE_CONTROL_UNREACHABLE',
    `Cannot reach the supervisor at '${socketPath}': ${fact}.`,
    {
      details: { socketPath, reason },
    },
  )
}

export interface Reached {
  readonly socketPath: string
  readonly status: SupervisorStatus
}

/** A socket whose process did not answer with its status. */
export interface Unreachable {
  readonly socketPath: string
  /** From the file name: the group, `_all`, or `run-<worker>`. */
  readonly name: string
  /** An errno, 'timeout', 'too-long' or 'malformed'. ECONNREFUSED: the process is gone. */
  readonly code: string
  readonly reason: string
}

export interface Survey {
  /** In the order of `socketPaths`. */
  readonly reached: readonly Reached[]
  readonly unreachable: readonly Unreachable[]
}

const AT_ONCE = 16

/** Requests the status of every supervisor in `socketPaths`, at most 16 at once; each has `timeoutMs` to answer. Never rejects:
 *  those that do not answer are in `unreachable`. */
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
    const reason = `Cannot use the answer of '${socketPath}': it is not a supervisor's status (${fact}).`
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

/** Checks the parts of the shape that readers use: processes of one herd may have different versions. */
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
