// Stream connections to journald, one per active worker, so that `journalctl -t byre-<worker>` shows one worker. The
// protocol is that of a unit's stdout: seven header lines, then one entry per line. It needs no privileges
// (sd_journal_stream_fd(3); systemd src/journal/journald-stream.c).

import { createConnection } from 'node:net'
import type { Socket } from 'node:net'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'

const JOURNAL_STDOUT_PATH = '/run/systemd/journal/stdout'

/** Maximum number of bytes that one stream queues while journald is slow; beyond that lines are dropped and counted. */
const MAX_QUEUE_BYTES = 256 * 1024
const RETRY_FIRST_MS = 1000
const RETRY_MAX_MS = 30_000

/**
 * Header of a stream: identifier (SYSLOG_IDENTIFIER), unit (empty: journald derives it from the cgroup and accepts a value
 * only from root), default priority, 1 = parse `<N>` prefixes, and no copies to syslog, kmsg and console.
 */
export function streamHeader(identifier: string): string {
  return `${identifier}\n\n6\n1\n0\n0\n0\n`
}

export interface JournalOptions {
  /** @default JOURNAL_STDOUT_PATH */
  readonly path?: string
  /** Maximum number of streams open at once. @default 1024 (journald accepts 4096 on the whole machine) */
  readonly maxStreams?: number
  readonly clock?: Clock
  /** Called with a line that no stream can take, with its prefix and newline. */
  readonly fallback: (line: string, identifier: string) => void
  /** Called once per outage with the reason, and once at its end with undefined. */
  readonly onOutage: (reason: string | undefined) => void
}

export interface Journal {
  /** A stream that connects on the first line written. `identifier` must not contain newlines. */
  stream(identifier: string): JournalStream
  /** Number of streams that are open, opening or closing. */
  readonly open: number
  /** Calls `done` once the kernel has every line of every stream, closing ones included, or the stream has failed. */
  whenFlushed(done: () => void): void
  /** Bytes of lines dropped since creation because journald was too slow. */
  readonly lostBytes: number
}

export interface JournalStream {
  /** Writes one line with its `<N>` prefix and newline. Never throws, never blocks. */
  write(line: string): void
  /** True when the kernel has every line written so far. */
  readonly flushed: boolean
  /** Sends the queued lines, then closes. Later lines go to the fallback. Idempotent. */
  close(): void
}

/**
 * All streams share one outage state. While journald is unreachable, the next line after 1 s, then 2 s, up to 30 s, tries to
 * connect again; all other lines go to the fallback.
 */
export function createJournal(options: JournalOptions): Journal {
  const { path = JOURNAL_STDOUT_PATH, maxStreams = 1024, clock = systemClock } = options
  const connections = new Set<Connection>()
  const lost = { bytes: 0 }
  let outage: { readonly retryAt: number; readonly delayMs: number } | undefined

  const shared: Shared = {
    options,
    connections,
    lost,
    connect() {
      const due = outage === undefined || clock.monotonic() >= outage.retryAt
      if (connections.size >= maxStreams || !due) return undefined
      // journald closes its sending side at once; without allowHalfOpen that would end the stream
      const socket = createConnection({ path, allowHalfOpen: true })
      socket.unref()
      socket.resume()
      return socket
    },
    failed(reason) {
      const first = outage === undefined
      if (outage !== undefined && clock.monotonic() < outage.retryAt) return // another stream of the same outage
      const delayMs = outage === undefined ? RETRY_FIRST_MS : Math.min(RETRY_MAX_MS, outage.delayMs * 2)
      outage = { retryAt: clock.monotonic() + delayMs, delayMs }
      if (first) options.onOutage(reason)
    },
    connected() {
      if (outage === undefined) return
      outage = undefined
      options.onOutage(undefined)
    },
  }
  return {
    stream: (identifier) => createStream(shared, identifier),
    get open() {
      return connections.size
    },
    get lostBytes() {
      return lost.bytes
    },
    whenFlushed(done) {
      let left = 1
      const one = (): void => {
        if (--left === 0) done()
      }
      for (const connection of connections) {
        left++
        whenFlushed(connection, one)
      }
      one()
    },
  }
}

interface Shared {
  readonly options: JournalOptions
  readonly connections: Set<Connection>
  readonly lost: { bytes: number }
  /** A connecting socket; undefined during an outage or at the limit of streams. */
  connect(): Socket | undefined
  failed(reason: string): void
  connected(): void
}

interface Connection {
  readonly socket: Socket
  /** Lines written before the connection was established; undefined afterwards. */
  early: string | undefined
  queuedBytes(): number
}

function createStream(shared: Shared, identifier: string): JournalStream {
  const { options, connections, lost } = shared
  let connection: Connection | undefined
  let closed = false
  let dropped = { lines: 0, bytes: 0 }

  const writeDropped = (socket: Socket): void => {
    if (dropped.lines === 0) return
    const { lines, bytes } = dropped
    dropped = { lines: 0, bytes: 0 }
    socket.write(`<4>Dropped ${lines} log lines (${bytes} bytes): journald was too slow\n`)
  }
  const open = (): Connection | undefined => {
    const socket = shared.connect()
    if (socket === undefined) return undefined
    const mine: Connection = {
      socket,
      early: '',
      queuedBytes: () => mine.early?.length ?? socket.writableLength,
    }
    let reason = 'journald closed the stream'
    connections.add(mine)
    socket.once('connect', () => {
      socket.write(streamHeader(identifier) + (mine.early ?? ''))
      mine.early = undefined
      shared.connected()
      if (closed) socket.end()
    })
    socket.on('drain', () => writeDropped(socket))
    socket.on('error', (error) => {
      reason = error.message
    })
    socket.once('close', () => {
      connections.delete(mine)
      if (connection === mine) connection = undefined
      if (!closed || mine.early !== undefined) shared.failed(reason)
      for (const line of linesOf(mine.early)) options.fallback(line, identifier)
      mine.early = undefined
    })
    return mine
  }
  return {
    write(line) {
      if (!closed) connection ??= open()
      if (closed || connection === undefined) return options.fallback(line, identifier)
      if (connection.queuedBytes() + line.length > MAX_QUEUE_BYTES) {
        dropped.lines++
        dropped.bytes += line.length
        lost.bytes += line.length
      } else if (connection.early !== undefined) connection.early += line
      // when journald is gone the write fails and the line goes to the fallback
      else connection.socket.write(line, (error) => error && options.fallback(line, identifier))
    },
    get flushed() {
      return connection === undefined || connection.queuedBytes() === 0
    },
    close() {
      if (closed) return
      closed = true
      if (connection === undefined || connection.early !== undefined) return // the connect handler ends it
      writeDropped(connection.socket)
      connection.socket.end()
    },
  }
}

function linesOf(text: string | undefined): string[] {
  return text?.match(/[^\n]*\n/g) ?? []
}

function whenFlushed(connection: Connection, done: () => void): void {
  const { socket } = connection
  if (socket.destroyed || connection.queuedBytes() === 0) return done()
  let called = false
  const next = (): void => {
    if (called) return
    called = true
    socket.off('close', next).off('connect', next)
    whenFlushed(connection, done)
  }
  socket.once('close', next)
  if (connection.early !== undefined) socket.once('connect', next)
  else socket.write('', next) // the callback follows all earlier writes; an empty write adds no entry
}
