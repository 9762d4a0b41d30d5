// A line broker over TCP: `SUB topic` or `PUB topic text`. It is not part of the herd; ../byre.config.js gives the reason.

import { once } from 'node:events'
import net from 'node:net'
import { writeJson } from '../lib/files.js'
import { stopped } from '../lib/stopped.js'

/** @typedef {{ portFile: string }} Config */

const MAX_CONNECTIONS = 1000
const MAX_LINE = 4096
const MAX_UNREAD_BYTES = 256 * 1024
const MAX_TOPICS = 100

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  /** @type {Map<net.Socket, Set<string>>} */
  const topics = new Map()

  /** @param {net.Socket} from @param {string} line */
  const act = (from, line) => {
    const [, verb, topic = '', text = ''] = /^(SUB|PUB) (\S+) ?(.*)$/.exec(line) ?? []
    if (verb === undefined) return void from.write('ERR expected: SUB topic, or PUB topic text\n')
    const mine = topics.get(from)
    if (verb === 'SUB') return void (mine !== undefined && mine.size < MAX_TOPICS && mine.add(topic))
    for (const [socket, wanted] of topics) {
      if (!wanted.has(topic)) continue
      socket.write(`${topic} ${text}\n`)
      if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy()
    }
  }

  const server = net.createServer((socket) => {
    topics.set(socket, new Set())
    let rest = ''
    socket.setEncoding('utf8').on('data', (chunk) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) act(socket, line)
      if (rest.length > MAX_LINE) socket.destroy()
    })
    socket.on('error', () => {}) // 'close' follows
    socket.on('close', () => topics.delete(socket))
  })
  server.maxConnections = MAX_CONNECTIONS
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  await writeJson(ctx.config.portFile, { port })
  ctx.ready()

  await stopped(ctx.signal)
  for (const socket of topics.keys()) socket.destroy()
  server.close()
  await once(server, 'close')
}
