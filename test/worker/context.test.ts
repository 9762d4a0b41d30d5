// The properties of ctx as an object.
import t from 'tap'
import type { ContextServices, ContextOwner } from '../../src/worker/context.ts'
import { createContext } from '../../src/worker/context.ts'

function owner(calls: string[], config: object = {}): ContextOwner {
  return {
    name: 'w',
    config: config as ContextOwner['config'],
    env: { OWN: 'yes' },
    signal: new AbortController().signal,
    log: {} as ContextOwner['log'],
    wake: { by: 'start', at: 1 },
    bus: {} as ContextOwner['bus'],
    services: {} as ContextServices,
    onReady: () => void calls.push('ready'),
    runAs: async () => {},
    onEnd: () => {},
  }
}

t.test('ctx can be spread, wrapped and inherited from, and its methods need no receiver', async (t) => {
  const calls: string[] = []
  const ctx = createContext(owner(calls))
  const views = {
    itself: ctx,
    spread: { ...ctx },
    proxy: new Proxy(ctx, {}),
    heir: Object.create(ctx) as typeof ctx,
  }
  for (const [name, view] of Object.entries(views)) {
    const ready = Reflect.get(view, 'ready') as () => void
    const { env } = view
    ready()
    t.equal(env['OWN'], 'yes', name)
    t.equal(env['PATH'], process.env['PATH'], name)
    for (const method of ['ready', 'credential', 'use', 'offload', 'every'] as const)
      t.equal(view[method], ctx[method], `${name}: ${method} is the same function`)
  }
  t.equal(calls.length, 4)
})

t.test('ctx, its config and its environment are frozen', async (t) => {
  const ctx = createContext(owner([], { list: [{ a: 1 }] })) as unknown as {
    config: { list: object[] }
    env: object
  }
  for (const value of [ctx, ctx.config, ctx.config.list, ctx.config.list[0], ctx.env])
    t.ok(Object.isFrozen(value))
  t.same(Object.keys(ctx).toSorted(), [
    'bus',
    'config',
    'credential',
    'env',
    'every',
    'log',
    'name',
    'offload',
    'ready',
    'signal',
    'use',
    'wake',
  ])
})
