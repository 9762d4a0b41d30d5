// Shared fate: a global that a worker replaces is replaced for all of them. It is named, and byre's own lines go on.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runRows } from './rows.ts'
import type { Expected, Fault, World } from './rows.ts'
import type { Test } from 'tap'

leakGuard(t)

/** The run ends, and what it replaced is compared. */
const named = (...globals: readonly string[]): Expected => ({
  verdict: 'done',
  state: 'stopped',
  restarts: 0,
  failures: 0,
  stack: false,
  log: globals.map((name) => ({ event: 'process-touched', kind: `global:${name}`, level: 40 })),
})

function siblingsSee(see: string, wanted: unknown) {
  return async (t: Test, { clerk, herd }: World): Promise<void> => {
    const { answered } = await clerk.census(see)
    for (const answer of answered) t.same(answer.seen, wanted, `${answer.name} sees it`)
    t.same(herd.matching({ raw: /./ }), [], 'every line of the log is JSON')
  }
}

const once = { restart: 'never' } as const

const ROWS: readonly Fault[] = [
  {
    name: 'functions',
    law: 'a replaced global function, method of a prototype, of console or of JSON is named at the end of the run',
    fault: `
  const { fetch, queueMicrotask } = globalThis
  globalThis.fetch = (...args) => fetch(...args)
  const { log } = console
  console.log = (...args) => log(...args)
  const { map } = Array.prototype
  Array.prototype.map = function (...args) { return map.apply(this, args) }
  const { now } = Date
  Date.now = () => now()
  return`,
    config: once,
    expect: named('fetch', 'console.log', 'Array.prototype.map', 'Date.now'),
    also: siblingsSee(`[1].map((x) => x + 1)[0]`, 2),
  },
  {
    name: 'while-loading',
    law: 'what a module replaces while it loads is named when it is loaded',
    source: `
const { stringify } = JSON
JSON.stringify = (...args) => stringify(...args)
export async function run() {}`,
    wake: true,
    config: once,
    expect: { ...named('JSON.stringify'), state: 'dormant' },
  },
  {
    name: 'stringify',
    law: 'a JSON.stringify that lies does not break the log lines',
    fault: `
  const { stringify } = JSON
  JSON.stringify = () => 'gotcha'
  ctx.log.info({ event: 'own-line', list: [1] }, 'still "JSON"')
  JSON.stringify = stringify
  return`,
    config: once,
    expect: { ...named(), log: [{ event: 'own-line', msg: 'still "JSON"', list: [1] }] },
    also: siblingsSee(`JSON.stringify({ a: 1 })`, '{"a":1}'),
  },
  {
    name: 'date-now',
    law: "a Date.now that lies is not the time of byre's lines",
    fault: `
  const { now } = Date
  Date.now = () => 0
  ctx.log.info({ event: 'own-time' }, 'own')
  Date.now = now
  return`,
    config: once,
    expect: { ...named(), log: [{ event: 'own-time', time: (ms: number) => ms > 1e12 }] },
  },
  {
    name: 'stacks',
    law: 'an Error.prepareStackTrace that throws costs the stack of an error, and not its message',
    fault: `
  Error.prepareStackTrace = () => { throw new Error('gotcha') }
  ctx.signal.addEventListener('abort', () => { Error.prepareStackTrace = undefined })
  setTimeout(() => { throw new Error('own fault') }, 1)`,
    expect: { verdict: 'threw-stray', evidence: { type: 'Error', message: 'own fault' }, stack: false },
  },
  {
    name: 'put-back',
    law: 'what is put back before the end is not reported',
    fault: `
  const before = Error.prepareStackTrace
  Error.prepareStackTrace = (_, frames) => frames
  const frames = new Error('x').stack
  Error.prepareStackTrace = before
  class Own extends Error {}
  Own.prepareStackTrace = () => 'own'
  ctx.log.info({ event: 'frames', array: Array.isArray(frames), text: typeof new Error('y').stack, own: Object.hasOwn(Own, 'prepareStackTrace') }, 'frames')
  return`,
    config: once,
    expect: { ...named(), log: [{ event: 'frames', array: true, text: 'string', own: true }] },
    also: async (t, { herd }) => {
      t.same(herd.matching({ worker: 'put-back', event: 'process-touched' }), [])
    },
  },
]

void runRows(t, ROWS)
