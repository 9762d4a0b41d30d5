// Control commands are logged: a line for each command, and a count beyond the bound.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const IDLE = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`

t.test('every command is logged with its requester', async (t) => {
  const herd = await startHerd(t, { workers: { idle: IDLE } })
  const users = Array.from({ length: 8 }, (_, at) => `user${at + 1}`)
  for (const [at, by] of users.entries()) await herd.act('idle', at % 2 === 0 ? 'stop' : 'start', { by })
  for (const [at, by] of users.entries()) {
    const action = at % 2 === 0 ? 'stop' : 'start'
    await herd.line({ event: 'control', worker: 'idle', action, by, msg: `${action}, requested by ${by}` })
  }
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('beyond 100 in 10 s commands are counted by worker and action', async (t) => {
  const herd = await startHerd(t, { workers: { idle: IDLE } })
  const all = 150
  for (let at = 0; at < all; at++)
    t.equal((await herd.act('idle', 'log-level', { by: 'a script', args: { level: 'info' } })).status, 202)
  t.same(await herd.stop(), { code: 0, signal: null })
  const written = herd.matching({ event: 'control' }).length
  t.ok(written >= 100 && written < 120, `${written} lines`)
  const counted = herd
    .matching({ event: 'folded', worker: 'idle', msg: /^log-level, requested by a script/ })
    .reduce((sum, line) => sum + Number(line['repeated']), 0)
  t.equal(written + counted, all)
})
