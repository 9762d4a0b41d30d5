// The resources of the herd under any order of opens, calls and ends of runs, while creates fail and take their time.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import type { Logger } from '../../src/log/logger.ts'
import { LateHold, openResources } from '../../src/supervisor/resource-scope.ts'
import type { HerdResources } from '../../src/supervisor/herd-resources.ts'
import type { ResourceHold } from '../../src/supervisor/resource-scope.ts'

const folder = mkdtempSync('/tmp/bh-')
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

interface Seen {
  live: number
  most: number
  failNext: boolean
}
const seen: Seen = { live: 0, most: 0, failNext: false }
Object.assign(globalThis, { herdResourcesSeen: seen })
const MODULE = `
const seen = globalThis.herdResourcesSeen
const turn = () => new Promise((resolve) => setImmediate(resolve))
export async function create() {
  await turn()
  if (seen.failNext) { seen.failNext = false; throw new Error('down') }
  seen.most = Math.max(seen.most, ++seen.live)
  return { live: () => seen.live }
}
export async function dispose() { await turn(); seen.live-- }
`
const [one, other] = [join(folder, 'one.mjs'), join(folder, 'other.mjs')]
for (const file of [one, other]) writeFileSync(file, MODULE)

type Step = readonly [what: 'open' | 'other' | 'call' | 'end' | 'fail' | 'wait', run: number]
const steps = fc.array(
  fc.tuple(
    fc.constantFrom<Step[0]>('open', 'open', 'other', 'call', 'end', 'fail', 'wait'),
    fc.integer({ min: 0, max: 3 }),
  ),
  { maxLength: 30 },
)

t.test(
  'never two values at once, a call finds the value live, and nothing is left when all runs have ended',
  async (t) => {
    const log = { error: (fields: object) => t.fail(JSON.stringify(fields)) } as unknown as Logger
    await fc.assert(
      fc.asyncProperty(steps, async (order) => {
        Object.assign(seen, { live: 0, most: 0, failNext: false })
        const resources = openResources(log, systemClock, 1000)
        const holds = new Map<number, ResourceHold>()
        const pending: Promise<unknown>[] = []
        for (const [what, run] of order) {
          const hold = holds.get(run) ?? resources.hold(`w${run}`)
          holds.set(run, hold)
          if (what === 'open' || what === 'other') {
            pending.push(hold.ask('open', ['db', what === 'open' ? one : other, null], 0))
          } else if (what === 'call') pending.push(hold.ask('call', ['db', 'live', []], 0))
          else if (what === 'fail') seen.failNext = true
          else if (what === 'wait') await Promise.allSettled(pending)
          else {
            hold.close()
            holds.delete(run)
          }
        }
        for (const hold of holds.values()) hold.close()
        const answers = await Promise.allSettled(pending)
        await resources.whenIdle()
        t.ok(seen.most <= 1, 'one value at a time')
        t.equal(seen.live, 0, 'disposed of')
        for (const answer of answers)
          if (answer.status === 'fulfilled')
            t.match(
              answer.value,
              /^\[1\]$|"methods":\["live"\]|"message":"down"|BYRE_RESOURCE_CONFLICT|BYRE_WORKER_STOPPED/,
            )
          else t.match(answer.reason, { code: 'BYRE_WORKER_STOPPED' })
      }),
      { numRuns: 200 },
    )
  },
)

t.test(
  'a value that is no object with methods is disposed of, once, when all who asked were told',
  async (t) => {
    const disposed: unknown[] = []
    Object.assign(globalThis, { herdResourcesDisposed: disposed })
    const file = join(folder, 'text.mjs')
    writeFileSync(
      file,
      `export const create = () => 'a text'
export const dispose = (value) => globalThis.herdResourcesDisposed.push(value)`,
    )
    const log = { error: (fields: object) => t.fail(JSON.stringify(fields)) } as unknown as Logger
    const resources = openResources(log, systemClock, 1000)
    const holds = ['a', 'b'].map((worker) => resources.hold(worker))
    for (const answer of await Promise.all(
      holds.map(async (hold) => hold.ask('open', ['text', file, null], 0)),
    ))
      t.match(answer, /must give an object with methods, got string\..*BYRE_RESOURCE_SHAPE/)
    await resources.whenIdle()
    t.same(disposed, ['a text'])
    for (const hold of holds) hold.close()
  },
)

t.test('of the last 256 modules that failed it is known how often, and of no more', async (t) => {
  const urls: string[] = []
  Object.assign(globalThis, { herdResourcesUrls: urls })
  const failing = ['first', 'last'].map((name) => join(folder, `${name}.mjs`))
  for (const file of failing)
    writeFileSync(file, `globalThis.herdResourcesUrls.push(import.meta.url); throw new Error('no')`)
  const log = { error: (fields: object) => t.fail(JSON.stringify(fields)) } as unknown as Logger
  const hold = openResources(log, systemClock, 1000).hold('w')
  const fail = async (file: string): Promise<void> =>
    void t.match(await hold.ask('open', ['db', file, null], 0), 'BYRE_RESOURCE_LOAD')
  for (const file of failing) await fail(file)
  for (let i = 0; i < 255; i++) await fail(join(folder, `absent-${i}.mjs`))
  for (const file of failing.toReversed()) await fail(file)
  hold.close()
  t.same(
    urls.map((url) => url.slice(url.lastIndexOf('/') + 1)),
    ['first.mjs', 'last.mjs', 'last.mjs?byre=1'],
    'the first is as if it had never been loaded',
  )
})

t.test(
  'a load that failed is told to who asked, and the next question of the same run loads again',
  async (t) => {
    let loads = 0
    const closed: string[] = []
    const entered = { ask: async () => '[1]', close: () => closed.push('closed') }
    const hold = new LateHold('w', async () => {
      if (++loads === 1) throw new Error('too many open files')
      return { enter: () => entered } as unknown as HerdResources
    })
    await t.rejects(hold.ask('call', ['db', 'live', []], 0), { message: 'too many open files' })
    t.equal(await hold.ask('call', ['db', 'live', []], 0), '[1]')
    t.equal(await hold.ask('call', ['db', 'live', []], 0), '[1]')
    t.equal(loads, 2)
    hold.close()
    await Promise.resolve()
    t.same(closed, ['closed'])
  },
)
