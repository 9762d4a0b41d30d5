// Shared fate: what a worker makes of the functions of the language is its own; siblings and byre's own lines go on.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runRows } from './rows.ts'
import type { Expected, Fault, World } from './rows.ts'
import type { Test } from 'tap'

leakGuard(t)

const kept = (what: string): Expected => ({
  log: [{ event: 'process-touched', kind: `global:${what}`, level: 40 }],
})

function siblingsSee(see: string, wanted: unknown) {
  return async (t: Test, { clerk, herd }: World): Promise<void> => {
    const { answered } = await clerk.census(see)
    for (const answer of answered) t.same(answer.seen, wanted, `${answer.name} sees it`)
    t.same(herd.matching({ raw: /./ }), [], 'every line of the log is JSON')
  }
}

const ROWS: readonly Fault[] = [
  {
    name: 'timers',
    law: 'a replaced setTimeout throws in the worker that replaced it alone',
    fault: `globalThis.setTimeout = () => { throw new Error('no timers') }`,
    expect: kept('setTimeout'),
    also: siblingsSee(`(clearTimeout(setTimeout(() => {}, 1)), 'fine')`, 'fine'),
  },
  {
    name: 'stringify',
    law: 'a replaced JSON.stringify breaks neither log lines nor siblings',
    fault: `JSON.stringify = () => 'gotcha'; ctx.log.info({ event: 'own-line' }, 'still "JSON"')`,
    expect: { log: [...(kept('JSON.stringify').log ?? []), { event: 'own-line', msg: 'still "JSON"' }] },
    also: siblingsSee(`JSON.stringify({ a: 1 })`, '{"a":1}'),
  },
  {
    name: 'date-now',
    law: 'a replaced Date.now is no time of the others',
    fault: `Date.now = () => 0; globalThis.JSON = {}; ctx.log.info({ event: 'own-time' }, 'own')`,
    expect: {
      log: [...(kept('Date.now').log ?? []), { event: 'own-time', time: (ms: number) => ms > 1e12 }],
    },
    also: siblingsSee(`Date.now() > 1e12 && typeof JSON.parse`, 'function'),
  },
  {
    name: 'stacks',
    law: 'an Error.prepareStackTrace that throws costs its own worker the stack, and not the message',
    fault: `Error.prepareStackTrace = () => { throw new Error('gotcha') }; setTimeout(() => { throw new Error('own fault') }, 1)`,
    expect: { verdict: 'threw-stray', evidence: { type: 'Error', message: 'own fault' }, stack: false },
    also: siblingsSee(`new Error('x').stack.startsWith('Error: x')`, true),
  },
  {
    name: 'put-back',
    law: 'what is put back at once is not told, and a class of its own may have one',
    fault: `
  const before = Error.prepareStackTrace
  Error.prepareStackTrace = (_, frames) => frames
  const frames = new Error('x').stack
  Error.prepareStackTrace = before
  class Own extends Error {}
  Own.prepareStackTrace = () => 'own'
  ctx.log.info({ event: 'frames', array: Array.isArray(frames), text: typeof new Error('y').stack, own: Object.hasOwn(Own, 'prepareStackTrace') }, 'frames')
  await wait(5)`,
    expect: { log: [{ event: 'frames', array: true, text: 'string', own: true }] },
    also: async (t, { herd }) => {
      t.same(herd.matching({ worker: 'put-back', event: 'process-touched' }), [])
    },
  },
]

void runRows(t, ROWS)
