// Accepts lines over TCP on a free loopback port and passes them on. Backpressure slows a sender that is faster than the
// relay; its lines are not buffered.

import net from 'node:net'
import { once } from 'node:events'
import { writeJson } from '../lib/files.js'
import { send } from '../lib/queue-loop.js'
import { relay } from '../lib/relay.js'
import { stopped } from '../lib/stopped.js'

/** @typedef {{ relay: string, portFile: string }} Config */

const MAX_LINE = 4096
const MAX_CONNECTIONS = 100

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  /** @type {Set<net.Socket>} */
  const sockets = new Set()

  /** @param {net.Socket} socket */
  const receive = async (socket) => {
    let rest = ''
    for await (const chunk of socket.setEncoding('utf8')) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > MAX_LINE) throw new Error(`received a line over ${MAX_LINE} characters`)
      for (let i = 0; i < lines.length; i += 100) await send(ctx, client, 'lines', lines.slice(i, i + 100))
      client.count(ctx.name, lines.length)
    }
  }

  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    receive(socket).catch((error) => {
      socket.destroy()
      if (!ctx.signal.aborted) ctx.log.warn({ why: error.message }, 'connection dropped')
    })
  })
  server.maxConnections = MAX_CONNECTIONS
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  await writeJson(ctx.config.portFile, { port })
  ctx.log.info({ port }, 'listening')
  ctx.ready()

  await stopped(ctx.signal)
  for (const socket of sockets) socket.destroy()
  server.close()
  await once(server, 'close')
}
