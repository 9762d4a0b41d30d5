// Clients of the control socket that no library provides: they send arbitrary bytes, slowly, or nothing at all.
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { within } from '../helpers/events.ts'

/** A folder for sockets, removed after the test. Its name is short, since a socket path has at most 107 bytes. */
export function socketFolder(t: { teardown(fn: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'byre-t-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly json: Record<string, unknown>
}

/** One ordinary HTTP request through node:http. */
export function call(socketPath: string, method: string, path: string, body?: unknown): Promise<HttpAnswer> {
  return within(
    new Promise((resolve, reject) => {
      const req = request({ socketPath, method, path, agent: false }, (res) => {
        let text = ''
        res.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        res.on('end', () => {
          resolve({
            status: res.statusCode ?? 0,
            headers: res.headers,
            json: JSON.parse(text) as HttpAnswer['json'],
          })
        })
      })
      req.on('error', reject)
      req.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body))
    }),
    `${method} ${path}`,
  )
}

export interface RawClient {
  readonly socket: Socket
  /** Everything received so far. */
  text(): string
  /** Resolves with everything received once the server has closed; errors are kept, not thrown. */
  readonly closed: Promise<string>
  /** Resolves once the received text matches. */
  receives(pattern: RegExp): Promise<string>
}

export function rawClient(socketPath: string, firstBytes?: string | Buffer): RawClient {
  const socket = connect({ path: socketPath })
  let text = ''
  let wake = (): void => {}
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    wake()
  })
  socket.on('error', () => {})
  socket.on('end', () => socket.destroy()) // like a client that has its answer, even if it is still writing
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(text)))
  if (firstBytes !== undefined) socket.write(firstBytes)
  return {
    socket,
    text: () => text,
    closed: within(closed, 'the server to close the connection'),
    async receives(pattern) {
      const matching = async (): Promise<string> => {
        while (!pattern.test(text)) await new Promise<void>((resolve) => (wake = resolve))
        return text
      }
      return within(
        matching(),
        `${String(pattern)} from the server`,
        undefined,
        () => `; got ${text.slice(0, 500)}`,
      )
    },
  }
}
