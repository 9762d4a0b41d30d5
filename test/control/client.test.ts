// The hand-written HTTP client: any response is either an answer or one of a few named failures, within the timeout.
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { ask, presence } from '../../src/control/client.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { socketFolder } from './raw-client.ts'

leakGuard(t)

const get = { method: 'GET', path: '/workers', timeoutMs: 10_000 } as const

/** A server that calls `answer` with each connection once it has read the request. */
async function serve(
  t: { teardown(fn: () => unknown): void },
  answer: (socket: Socket, request: string) => void,
): Promise<string> {
  const path = join(socketFolder(t), 's.sock')
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    socket.once('data', (chunk) => answer(socket, String(chunk)))
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  return path
}

t.test('an answer consists of status and body, regardless of the number of chunks', async (t) => {
  const path = await serve(t, (socket, request) => {
    const body = JSON.stringify({ request })
    const text = `HTTP/1.1 202 Accepted\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    for (const byte of text) socket.write(byte)
    socket.end()
  })
  const { status, body } = await ask(path, { ...get, method: 'POST', path: '/a%20b', body: '{"ä":1}' })
  t.equal(status, 202)
  const { request } = JSON.parse(body) as { request: string }
  t.match(request, /^POST \/a%20b HTTP\/1.0\r\n/)
  t.match(request, '\r\nContent-Length: 8\r\n\r\n{"ä":1}')
})

t.test(
  'no listener, a file, a silent, an endless and a truncated answer each have a distinct reason',
  async (t) => {
    const folder = socketFolder(t)
    writeFileSync(join(folder, 'file'), '')
    const mute = await serve(t, () => {})
    const endless = await serve(t, (socket) => {
      const more = (): void => {
        if (!socket.destroyed) socket.write('x'.repeat(65_536), more)
      }
      more()
    })
    const cut = await serve(t, (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}'))
    const other = await serve(t, (socket) => socket.end('SSH-2.0-OpenSSH\r\n'))
    const table: [string, string, object?][] = [
      [join(folder, 'none'), 'ENOENT'],
      [join(folder, 'file'), 'ECONNREFUSED'],
      [mute, 'timeout', { timeoutMs: 50 }],
      [endless, 'too-long', { maxBytes: 1_000_000 }],
      [cut, 'malformed'],
      [other, 'malformed'],
    ]
    for (const [path, reason, more] of table)
      await t.rejects(
        ask(path, { ...get, ...more }),
        { code: 'BYRE_CONTROL_UNREACHABLE', details: { reason, socketPath: path } },
        reason,
      )
  },
)

t.test('any bytes give an answer or a named failure', async (t) => {
  let bytes = Buffer.alloc(0)
  const path = await serve(t, (socket) => socket.end(bytes))
  const head = fc.constantFrom(
    '',
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 200 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n',
  )
  await fc.assert(
    fc.asyncProperty(head, fc.uint8Array({ maxLength: 300 }), async (start, rest) => {
      bytes = Buffer.concat([Buffer.from(start), rest])
      try {
        const { status } = await ask(path, get)
        return status >= 100 && status <= 999
      } catch (error) {
        return (error as { details: { reason: string } }).details.reason === 'malformed'
      }
    }),
    {
      numRuns: 200,
      examples: [['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', Buffer.from([0xff, 0xfe, 0x80])]],
    },
  )
})

t.test('presence distinguishes live, dead and absent', async (t) => {
  const folder = socketFolder(t)
  writeFileSync(join(folder, 'file'), '')
  t.equal(await presence(await serve(t, () => {})), 'live')
  t.equal(await presence(join(folder, 'file')), 'dead')
  t.equal(await presence(join(folder, 'none')), 'absent')
})
