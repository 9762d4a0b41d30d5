// Shared fate: errors thrown while somebody else's code is on the stack: listeners a sibling fires, callbacks a client of
// a sibling calls. The sibling goes on with its next statement or is at least not charged.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runRows } from './rows.ts'
import type { Expected, Fault, World } from './rows.ts'
import type { Test } from 'tap'

leakGuard(t)

const emitter = `import { emitter, target } from '../lib/emitter.mjs'`
const client = `import * as client from '../lib/client.mjs'`

function stray(message: string, more: Partial<Expected> = {}): Expected {
  return {
    verdict: 'threw-stray',
    evidence: { type: 'Error', message },
    log: [{ event: 'exit', verdict: 'threw-stray' }],
    ...more,
  }
}

/** s01 went on with the statement after the one that called the faulty worker. */
async function pokerWentOn(t: Test, { clerk }: World): Promise<void> {
  const before = (await clerk.census()).book['s01']?.pokes ?? 0
  await clerk.publish('poke', 'settle')
  let after = before
  while (after === before) after = (await clerk.census()).book['s01']?.pokes ?? 0
  t.equal(after, before + 1)
  t.equal(before > 0, true, 'the poke that called the faulty worker was survived')
}

const ROWS: readonly Fault[] = [
  {
    name: 'listener',
    law: `a throw in a listener that a sibling fires is charged to the listener's worker`,
    imports: emitter,
    fault: `emitter.on('ping', () => { throw new Error('heard') }); await ctx.bus.publish('poke', 'emitter')`,
    expect: stray('heard', { evidence: { message: 'heard', via: `listener of 'ping'` } }),
    also: pokerWentOn,
  },
  {
    name: 'listener-global',
    law: `a throw in a listener on an emitter of globalThis is charged to the listener's worker`,
    fault: `globalThis.commonEmitter.on('ping', () => { throw new Error('global') }); await ctx.bus.publish('poke', 'global')`,
    expect: stray('global'),
    also: pokerWentOn,
  },
  {
    name: 'listener-once',
    law: `a throw in a once() listener is charged to the listener's worker, and it is called once`,
    imports: emitter,
    fault: `
  let calls = 0
  emitter.once('ping', () => { throw new Error('call ' + ++calls) })
  await ctx.bus.publish('poke', 'emitter')
  await ctx.bus.publish('poke', 'emitter')`,
    expect: stray('call 1'),
    also: pokerWentOn,
  },
  {
    name: 'listener-prepend',
    law: `a throw in a prepended listener is charged to the listener's worker`,
    imports: emitter,
    fault: `emitter.prependListener('ping', () => { throw new Error('first') }); await ctx.bus.publish('poke', 'emitter')`,
    expect: stray('first'),
    also: pokerWentOn,
  },
  {
    name: 'listener-prepend-once',
    law: `a throw in a prepended once listener is charged to the listener's worker`,
    imports: emitter,
    fault: `emitter.prependOnceListener('ping', () => { throw new Error('first once') }); await ctx.bus.publish('poke', 'emitter')`,
    expect: stray('first once'),
    also: pokerWentOn,
  },
  {
    name: 'listener-async',
    law: `a rejection of an async listener that a sibling fires is charged to the listener's worker`,
    imports: emitter,
    fault: `emitter.on('ping', async () => { await wait(1); throw new Error('async') }); await ctx.bus.publish('poke', 'emitter')`,
    expect: stray('async', { evidence: { message: 'async', via: 'unhandledRejection' } }),
    also: pokerWentOn,
  },
  {
    name: 'listener-timer',
    law: `a timer set inside a listener that a sibling fires belongs to the listener's worker`,
    imports: emitter,
    fault: `emitter.once('ping', () => setTimeout(() => { throw new Error('timer of listener') }, 1)); await ctx.bus.publish('poke', 'emitter')`,
    expect: stray('timer of listener'),
  },
  {
    name: 'event-target',
    law: `a throw in an EventTarget listener that a sibling dispatches to is charged to the listener's worker`,
    imports: emitter,
    fault: `target.addEventListener('ping', () => { throw new Error('dispatched') }, { once: true }); await ctx.bus.publish('poke', 'target')`,
    expect: stray('dispatched'),
    also: pokerWentOn,
  },
  {
    name: 'removed-listener',
    law: 'a listener is removed, counted and listed by the function that was passed',
    imports: emitter,
    fault: `
  const never = () => { throw new Error('removed') }
  emitter.on('ping', never)
  emitter.once('ping', never)
  const seen = [emitter.listenerCount('ping', never), emitter.listeners('ping').filter((l) => l === never).length]
  emitter.off('ping', never)
  emitter.removeListener('ping', never)
  ctx.log.info({ event: 'seen', seen, left: emitter.listeners('ping').includes(never) }, 'seen')
  await ctx.bus.publish('poke', 'emitter')`,
    expect: { log: [{ event: 'seen', seen: [2, 2], left: false }] },
  },
  {
    name: 'listener-object',
    law: 'a listener on a plain object that was made an emitter by a call ends with the run',
    imports: `import { EventEmitter } from 'node:events'\nconst object = {}`,
    fault: `
  EventEmitter.prototype.on.call(object, 'ping', () => {})
  setImmediate(() => { throw new Error('on purpose') })`,
    expect: stray('on purpose', { log: [{ event: 'leftovers', listeners: ["Object.on('ping')"] }] }),
  },
  {
    name: 'callback-socket',
    law: `a throw in a callback that a sibling's client calls from its socket is charged to the callback's worker`,
    imports: client,
    fault: `client.send(() => { throw new Error('reply') })`,
    expect: stray('reply'),
  },
  {
    name: 'callback-timer',
    law: `a throw in a callback that a sibling's client calls from its timer is charged to the callback's worker`,
    imports: client,
    fault: `client.later(() => { throw new Error('flushed') })`,
    expect: stray('flushed'),
  },
  {
    name: 'callback-promise',
    law: `a throw in a callback that a sibling's client calls from its promise is charged to the callback's worker`,
    imports: client,
    fault: `client.promised(() => { throw new Error('settled') }); await ctx.bus.publish('poke', 'settle')`,
    expect: stray('settled'),
  },
  {
    name: 'callback-async',
    law: `a rejection of an async callback that a sibling's client calls is charged to the callback's worker`,
    imports: client,
    fault: `client.send(async () => { throw new Error('async reply') })`,
    expect: stray('async reply'),
  },
  {
    name: 'callback-promisified',
    law: `a rejection of a promise around a client's callback is charged to the worker that made the promise`,
    imports: client,
    fault: `void new Promise((resolve) => client.send(resolve)).then(() => { throw new Error('after reply') })`,
    expect: stray('after reply'),
  },
]

void runRows(t, ROWS)
