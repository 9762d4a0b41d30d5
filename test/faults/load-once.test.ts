// A module that takes its time to load is evaluated once, however often its worker is stopped and started meanwhile.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

/** Loaded once the file `gate` is there. */
const SLOW = `
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
globalThis.evaluated = (globalThis.evaluated ?? 0) + 1
console.log('evaluating ' + globalThis.evaluated)
process.env.SET_BEFORE = 'before'
const gate = fileURLToPath(new URL('../gate', import.meta.url))
while (!existsSync(gate)) await new Promise((resolve) => setTimeout(resolve, 5))
process.env.SET_AFTER = 'after'
export async function run(ctx) {
  ctx.log.info({ event: 'run', evaluated: globalThis.evaluated, env: [process.env.SET_BEFORE, process.env.SET_AFTER] }, 'run')
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`

for (const again of [['stop', 'start'], ['restart'], ['stop', 'start', 'stop', 'start', 'restart']])
  t.test(`${again.join(', ')} while a module loads joins the load`, async (t) => {
    const herd = await startHerd(t, {
      workers: { slow: SLOW },
      config: { workers: { slow: { activation: { topics: ['go'] } } } },
    })
    await herd.act('slow', 'wake')
    await herd.line({ worker: 'slow', msg: 'evaluating 1' })
    for (const action of again) t.equal((await herd.act('slow', action)).status, 202)
    await herd.untilWorker('slow', (worker) => worker.state === 'loading')
    writeFileSync(join(herd.folder, 'gate'), '')
    t.match(await herd.line({ event: 'run' }), { evaluated: 1, env: ['before', 'after'] })
    t.match(await herd.worker('slow'), { state: 'running', failures: 0, load: { ms: Number } })
    const from = herd.mark()
    await herd.act('slow', 'restart')
    t.match(await herd.line({ event: 'run' }, from), { evaluated: 1, env: ['before', 'after'] })
    t.same(await herd.stop(), { code: 0, signal: null })
  })

t.test('a load that ends while its worker is stopped serves the next start', async (t) => {
  const herd = await startHerd(t, {
    workers: { slow: `${SLOW}\nconsole.log('evaluated')` },
    config: { workers: { slow: { activation: { topics: ['go'] } } } },
  })
  await herd.act('slow', 'wake')
  await herd.line({ worker: 'slow', msg: 'evaluating 1' })
  await herd.act('slow', 'stop')
  writeFileSync(join(herd.folder, 'gate'), '')
  await herd.line({ worker: 'slow', msg: 'evaluated' })
  await herd.act('slow', 'start')
  t.match(await herd.line({ event: 'run' }), { evaluated: 1, env: ['before', 'after'] })
  const { load } = await herd.worker('slow')
  t.ok((load?.ms ?? 0) > 0, 'what the load took is told with the first run that has it')
})
