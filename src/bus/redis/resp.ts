// A minimal client of the Redis protocol (RESP2), enough for leases and for the lookup of a master: one socket, commands,
// replies in order. The lease thread uses it because importing ioredis costs 11 MB in each thread.

import { connect as connectTcp } from 'node:net'
import type { Socket } from 'node:net'
import type { Clock } from '../../base/clock.ts'

/** The address of a server. */
export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string }

/** Credentials, database and TLS. */
export interface Account {
  readonly username?: string
  readonly password?: string
  readonly db?: number
  readonly tls?: boolean
}

export type Reply = string | number | null | Reply[]

/** An error reply of the server. */
export class ReplyError extends Error {
  override get name(): string {
    return 'ReplyError'
  }
}

export interface RespConnection {
  /** Rejects ReplyError for an error reply, Error when the connection breaks. */
  call(...command: (string | number)[]): Promise<Reply>
  /** Resolves with the reason when the connection has ended, regardless of the side that ended it. */
  readonly closed: Promise<Error>
  close(): void
}

/** Opens a socket to `endpoint`, including the TLS handshake. Rejects after `timeoutMs`. */
export async function openSocket(
  endpoint: Endpoint,
  tls: boolean,
  clock: Clock,
  timeoutMs: number,
): Promise<Socket> {
  const socket = tls ? (await import('node:tls')).connect(withName(endpoint)) : connectTcp(endpoint)
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      timer.cancel()
      socket.destroy()
      reject(error)
    }
    const timer = clock.setTimer(timeoutMs, () => fail(new Error(`no connection within ${timeoutMs} ms`)))
    socket.once('error', fail)
    socket.once(tls ? 'secureConnect' : 'connect', () => {
      timer.cancel()
      socket.off('error', fail)
      socket.setNoDelay(true)
      resolve(socket)
    })
  })
}

/** Connects and authenticates. Rejects after `timeoutMs`. */
export async function openResp(
  endpoint: Endpoint,
  account: Account,
  clock: Clock,
  timeoutMs: number,
): Promise<RespConnection> {
  const until = clock.monotonic() + timeoutMs
  const socket = await openSocket(endpoint, account.tls === true, clock, timeoutMs)
  const connection = speak(socket)
  const timer = clock.setTimer(Math.max(0, until - clock.monotonic()), () => connection.close())
  try {
    const { username, password, db } = account
    if (password !== undefined)
      await connection.call('AUTH', ...(username === undefined ? [] : [username]), password)
    if (db !== undefined && db !== 0) await connection.call('SELECT', db)
    return connection
  } catch (error) {
    connection.close()
    throw error
  } finally {
    timer.cancel()
  }
}

function withName(endpoint: Endpoint): object {
  return 'host' in endpoint ? { ...endpoint, servername: endpoint.host } : endpoint
}

/** Largest reply. CLUSTER SLOTS of a large cluster is about 100 kB. */
const MAX_REPLY_BYTES = 16 * 1024 * 1024

interface Waiting {
  resolve(reply: Reply): void
  reject(error: Error): void
}

function speak(socket: Socket): RespConnection {
  const waiting: Waiting[] = []
  let rest = ''
  let end: (reason: Error) => void = () => {}
  const closed = new Promise<Error>((resolve) => (end = resolve))
  const gone = (reason: Error): void => {
    for (const call of waiting.splice(0)) call.reject(reason)
    end(reason)
  }
  // latin1, because lengths are in bytes and all replies used here are ASCII
  socket.setEncoding('latin1')
  socket.on('data', (text: string) => {
    rest += text
    for (;;) {
      if (!/^(?:[-+:$*]|$)/.test(rest))
        return void socket.destroy(new Error('the reply is not from a Redis server'))
      const parsed = parseReply(rest, 0)
      if (parsed === undefined && rest.length > MAX_REPLY_BYTES)
        return void socket.destroy(new Error(`its reply is longer than ${MAX_REPLY_BYTES} bytes`))
      if (parsed === undefined) return
      rest = rest.slice(parsed.end)
      const next = waiting.shift()
      if (parsed.value instanceof ReplyError) next?.reject(parsed.value)
      else next?.resolve(parsed.value)
    }
  })
  socket.once('error', gone)
  socket.once('close', () => gone(new Error('the connection was closed')))
  return {
    closed,
    call: (...command) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(new Error('the connection was closed'))
        waiting.push({ resolve, reject })
        socket.write(encode(command))
      }),
    close: () => void socket.destroy(),
  }
}

function encode(command: readonly (string | number)[]): string {
  let text = `*${command.length}\r\n`
  for (const part of command) {
    const word = String(part)
    text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`
  }
  return text
}

type Parsed = { readonly value: Reply | ReplyError; readonly end: number } | undefined

/** Parses the reply that begins at `at`; undefined while it is incomplete. */
function parseReply(text: string, at: number): Parsed {
  const lineEnd = text.indexOf('\r\n', at)
  if (lineEnd === -1) return undefined
  const line = text.slice(at + 1, lineEnd)
  const after = lineEnd + 2
  switch (text.charAt(at)) {
    case '+':
      return { value: line, end: after }
    case '-':
      return { value: new ReplyError(line), end: after }
    case ':':
      return { value: Number(line), end: after }
    case '$': {
      const length = Number(line)
      if (length < 0) return { value: null, end: after }
      if (text.length < after + length + 2) return undefined
      return { value: text.slice(after, after + length), end: after + length + 2 }
    }
    default:
      return parseArray(text, Number(line), after)
  }
}

function parseArray(text: string, count: number, at: number): Parsed {
  if (count < 0) return { value: null, end: at }
  const values: Reply[] = []
  let end = at
  for (let i = 0; i < count; i++) {
    const parsed = parseReply(text, end)
    if (parsed === undefined) return undefined
    values.push(parsed.value instanceof ReplyError ? parsed.value.message : parsed.value)
    end = parsed.end
  }
  return { value: values, end }
}
