// One HTTP request over a Unix socket, written by hand on node:net: the supervisor asks its siblings at every start
// and must not pay for node:http (12.6 MB of RSS on Node 24), nor must `byre status`.

import { connect } from 'node:net'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'
import { ByreError } from '../base/errors.ts'

export interface AskOptions {
  readonly method: 'GET' | 'POST'
  /** Already encoded, e.g. `/workers/mail/restart`. */
  readonly path: string
  /** JSON text. */
  readonly body?: string
  /** For the whole exchange. @default 5000 */
  readonly timeoutMs?: number
  /** Longest answer accepted; 1000 workers with evidence are about 1 MB. @default 16 MiB */
  readonly maxBytes?: number
  /** @default systemClock */
  readonly clock?: Clock
}

export interface Answer {
  /** HTTP status. */
  readonly status: number
  readonly body: string
}

/** What a connection attempt says about the process behind a socket file. */
export type Presence = 'live' | 'dead' | 'absent'

const DEFAULTS = { timeoutMs: 5000, maxBytes: 16 * 1024 * 1024 }

/**
 * The answer of the control server at `socketPath`. Rejects with BYRE_CONTROL_UNREACHABLE when nobody listens, the
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
      if (answer === undefined) return fail('malformed', 'what it sent is not an HTTP answer')
      timer.cancel()
      socket.destroy()
      resolve(answer)
    }
    socket.on('end', finish)
    // A server that refuses without reading everything closes the socket under our write; its answer is here already.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (bytes > 0) return finish()
      fail(error.code ?? 'error', describeErrno(error))
    })
    socket.write(requestText(options))
  })
}

/** Whether a process listens on `socketPath`, by connecting and hanging up at once. Rejects on what is neither (no permission). */
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
        resolve('live') // its backlog is full: somebody holds it
      else reject(unreachable(socketPath, error.code ?? 'error', describeErrno(error)))
    })
  })
}

/** HTTP/1.0: the server then never answers in chunks, and closes when it is done. */
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
  if (length !== null && Buffer.byteLength(body) < Number(length[1])) return undefined // cut off
  return { status: Number(match[1]), body }
}

function describeErrno(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'there is no such socket'
  if (error.code === 'ECONNREFUSED') return 'the process that made the socket is gone'
  if (error.code === 'EACCES') return 'permission denied; it belongs to another user'
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
