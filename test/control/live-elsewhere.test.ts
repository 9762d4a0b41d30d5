// A worker runs once per herd on a host: the sockets of the run directory show where.
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { listSockets } from '../../src/base/places.ts'
import { startControlServer } from '../../src/control/server.ts'
import { findLiveElsewhere, refuseLiveElsewhere } from '../../src/control/live-elsewhere.ts'
import { survey } from '../../src/control/client.ts'
import type { SupervisorStatus, WorkerStatus } from '../../src/herd/status.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { fakeTarget, memoryLog, supervisorStatus, worker } from './fake-target.ts'
import { socketFolder } from './raw-client.ts'

leakGuard(t)

type T = { teardown(fn: () => unknown): void }

async function sibling(
  t: T,
  folder: string,
  name: string,
  workers: WorkerStatus[],
  more: Partial<SupervisorStatus> = {},
): Promise<void> {
  const target = fakeTarget()
  target.current = supervisorStatus(workers, { group: name, pid: 100, ...more })
  const socketPath = join(folder, `${name}.sock`)
  const server = await startControlServer({ target, socketPath, log: memoryLog() })
  t.teardown(() => server.close())
}

const me = (folder: string, workers: string[]): Parameters<typeof findLiveElsewhere>[0] => {
  const mine = { pid: 200, startedAt: 1_700_000_001_000, phases: {} }
  const target = fakeTarget()
  target.current = supervisorStatus(
    workers.map((name) => worker(name, { state: 'stopped' })),
    mine,
  )
  return { folder, socketPath: join(folder, '_all.sock'), target }
}

t.test('a worker that is live in another process is named with its pid and group', async (t) => {
  const folder = socketFolder(t)
  await sibling(t, folder, 'batch', [worker('mail'), worker('import', { state: 'dormant' })])
  await sibling(t, folder, 'run-canary', [worker('canary')], { pid: 300, group: 'default' })
  await sibling(t, folder, 'foreign', [worker('other')], { herd: 'another' })
  await sibling(t, folder, '_all', [worker('mail')], { pid: 200 }) // the own socket is not queried
  await t.rejects(refuseLiveElsewhere(me(folder, ['mail', 'import', 'canary', 'other'])), {
    code: 'BYRE_WORKER_DUPLICATE',
    message:
      /'mail' is running in pid 100 \(group batch\), 'import' is dormant in pid 100 \(group batch\), 'canary' is running in pid 300/,
  })
  t.same(await refuseLiveElsewhere(me(folder, ['other'])), [])
})

t.test(
  'a worker that is stopped or quarantined in another process does not count as running there',
  async (t) => {
    const folder = socketFolder(t)
    await sibling(t, folder, 'batch', [
      worker('a', { state: 'stopped' }),
      worker('b', { state: 'quarantined' }),
      worker('c', { state: 'backing-off' }),
    ])
    const { live } = await findLiveElsewhere(me(folder, ['a', 'b', 'c']))
    t.same(
      live.map((l) => l.worker),
      ['c'],
    )
  },
)

t.test('of two processes that start at the same moment exactly the younger one is refused', async (t) => {
  const folder = socketFolder(t)
  const stopped = [worker('mail', { state: 'stopped' })]
  const seen = async (startedAt: number, pid: number): Promise<number> => {
    const name = `g${startedAt}-${pid}`
    await sibling(t, folder, name, stopped, { startedAt, pid, phases: {} })
    const { live } = await findLiveElsewhere(me(folder, ['mail']))
    return live.filter((l) => l.group === name).length
  }
  t.equal(await seen(1_700_000_000_999, 900), 1, 'an older one wins')
  t.equal(await seen(1_700_000_001_001, 100), 0, 'the younger one is refused')
  t.equal(await seen(1_700_000_001_000, 199), 1, 'same moment: the lower pid wins')
  t.equal(await seen(1_700_000_001_000, 201), 0, 'same moment: the higher pid is refused')
})

t.test(
  'a sibling that does not answer costs the time limit and is reported; a dead one is neither',
  async (t) => {
    const folder = socketFolder(t)
    const sockets = new Set<{ destroy(): void }>()
    const mute = createServer((socket) => sockets.add(socket.resume()))
    await new Promise<void>((resolve) => mute.listen(join(folder, 'mute.sock'), resolve))
    const dead = createServer()
    await new Promise<void>((resolve) => dead.listen(join(folder, 'x'), resolve))
    linkSync(join(folder, 'x'), join(folder, 'dead.sock'))
    await new Promise<void>((resolve) => dead.close(() => resolve()))
    const { live, unreachable } = await findLiveElsewhere({ ...me(folder, ['mail']), timeoutMs: 100 })
    t.same(live, [])
    t.match(unreachable, [{ name: 'mute', code: 'timeout', reason: /did not answer within 100 ms/ }])
    t.equal(unreachable.length, 1)
    for (const socket of sockets) socket.destroy()
    mute.close()
  },
)

t.test('a survey separates reached from unreachable processes for any kind of answer', async (t) => {
  const folder = socketFolder(t)
  await sibling(t, folder, 'batch', [worker('mail')])
  const bodies = [
    '{}',
    'null',
    '{"workers":[1],"herd":"a","group":"b","pid":1,"process":{},"bus":{},"phases":{}}',
    '{"workers":[],"herd":"a","group":"b","pid":1}',
    'x',
    '',
  ]
  for (const [i, body] of bodies.entries()) {
    const server = createServer((socket) => {
      socket.on('error', () => {}).resume()
      socket.end(`HTTP/1.1 200 OK\r\n\r\n${body}`)
    })
    await new Promise<void>((resolve) => server.listen(join(folder, `bad${i}.sock`), resolve))
    t.teardown(() => new Promise((resolve) => server.close(resolve)))
  }
  writeFileSync(join(folder, 'file.sock'), '')
  mkdirSync(join(folder, 'sub'))
  const { reached, unreachable } = await survey(listSockets(folder), 1000)
  t.same(
    reached.map((r) => r.status.group),
    ['batch'],
  )
  t.same(
    unreachable.map((u) => [u.name, u.code]),
    [...bodies.map((_, i) => [`bad${i}`, 'malformed']), ['file', 'ECONNREFUSED']],
  )
})

t.test('a herd without a run directory has no sockets', async (t) => {
  t.same(listSockets(join(socketFolder(t), 'nothing')), [])
  t.same(await survey([], 10), { reached: [], unreachable: [] })
})
