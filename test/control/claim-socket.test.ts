// One owner per socket path: a live socket is kept, a dead one replaced, and of many processes exactly one succeeds.
import { linkSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ask, presence } from '../../src/control/client.ts'
import { claimSocket } from '../../src/control/claim-socket.ts'
import { startControlServer } from '../../src/control/server.ts'
import { startCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { fakeTarget, memoryLog } from './fake-target.ts'
import { call, socketFolder } from './raw-client.ts'

leakGuard(t)

const raceChild = join(dirname(fileURLToPath(import.meta.url)), 'race-child.js')
const close = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()))

/** Creates at `path` what a killed supervisor leaves behind: a socket without a listener. */
async function deadSocket(path: string): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(`${path}~`, resolve))
  linkSync(`${path}~`, path)
  await close(server)
}

t.test('a socket left by a dead process is replaced, and no other file remains in the folder', async (t) => {
  const folder = socketFolder(t)
  const path = join(folder, 'batch.sock')
  await deadSocket(path)
  t.equal(await presence(path), 'dead')
  const server = await startControlServer({ target: fakeTarget(), socketPath: path, log: memoryLog() })
  t.equal((await call(path, 'GET', '/workers')).status, 200)
  t.same(readdirSync(folder), ['batch.sock'])
  await server.close()
  t.same(readdirSync(folder), [])
})

t.test('with a live socket the second start is refused, naming the pid of the first', async (t) => {
  const folder = socketFolder(t)
  const options = { target: fakeTarget(), socketPath: join(folder, 'batch.sock'), log: memoryLog() }
  const first = await startControlServer(options)
  await t.rejects(startControlServer(options), {
    code: 'BYRE_SOCKET_IN_USE',
    message: `pid ${process.pid} (herd shop, group batch) already does`,
    details: { pid: process.pid },
  })
  t.equal((await call(options.socketPath, 'GET', '/workers')).status, 200, 'the first is untouched')
  t.same(readdirSync(folder), ['batch.sock'])
  await first.close()
})

t.test('a live socket whose owner does not answer is kept too', async (t) => {
  const path = join(socketFolder(t), 'batch.sock')
  const mute = createServer((socket) => socket.on('error', () => {}).resume())
  await new Promise<void>((resolve) => mute.listen(path, resolve))
  await t.rejects(claimSocket(createServer(), path), {
    code: 'BYRE_SOCKET_IN_USE',
    message: /a process that does not answer already does/,
  })
  t.equal(await presence(path), 'live')
  mute.close()
})

t.test('a file that is not a socket is not removed', async (t) => {
  const path = join(socketFolder(t), 'package.json')
  writeFileSync(path, '{}')
  const server = createServer()
  await t.rejects(claimSocket(server, path), { code: 'BYRE_ARGUMENT_INVALID', message: /is not a socket/ })
  t.equal(statSync(path).size, 2)
  t.equal(server.listening, false)
})

t.test(
  'the claim of a process that died before it removed the socket does not block the next start for long',
  async (t) => {
    const folder = socketFolder(t)
    const path = join(folder, 'batch.sock')
    await deadSocket(path)
    linkSync(path, `${path}.${statSync(path).ino}.dead`)
    const server = createServer()
    const claim = await claimSocket(server, path)
    t.equal(await presence(path), 'live')
    t.same(readdirSync(folder), ['batch.sock'])
    claim.release()
    claim.release()
    t.same(readdirSync(folder), [])
    await close(server)
  },
)

t.test('release does not remove a socket that another process has created since', async (t) => {
  const folder = socketFolder(t)
  const path = join(folder, 'batch.sock')
  const [first, second] = [createServer(), createServer()]
  const old = await claimSocket(first, path)
  old.release()
  const claim = await claimSocket(second, path)
  old.release()
  t.equal(await presence(path), 'live')
  claim.release()
  await Promise.all([close(first), close(second)])
})

t.test(
  'of five processes that start at once over a dead socket exactly one succeeds, each time',
  async (t) => {
    for (let round = 0; round < 4; round++) {
      const folder = socketFolder(t)
      const path = join(folder, 'batch.sock')
      await deadSocket(path)
      const startAt = String(Date.now() + 300)
      const children = Array.from({ length: 5 }, () =>
        startCleanNode([raceChild, path, startAt], { stdio: ['pipe', 'pipe', 'pipe'] }),
      )
      const lines = await Promise.all(children.map((child) => child.stdout.next()))
      const winners = lines.filter((line) => line.startsWith('won'))
      t.equal(winners.length, 1, lines.join(' | '))
      const pid = winners[0]?.split(' ')[1]
      for (const line of lines.filter((l) => !l.startsWith('won')))
        t.match(line, new RegExp(`lost BYRE_SOCKET_IN_USE .*pid ${pid} `))
      const { body } = await ask(path, { method: 'GET', path: '/workers' })
      t.equal(String((JSON.parse(body) as { pid: number }).pid), pid, 'the winner is the one that answers')
      t.same(readdirSync(folder), ['batch.sock'])
      for (const { child } of children) child.stdin?.end()
      await Promise.all(children.map((child) => child.exit))
      t.same(readdirSync(folder), [], 'its end removes the socket')
    }
  },
)
