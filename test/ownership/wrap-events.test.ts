// Listeners on an emitter of another worker: Node's semantics, in the context of the worker that registered them.
import { EventEmitter, errorMonitor, on, once } from 'node:events'
import t from 'tap'
import { createRunScope, currentScope, runInScope } from '../../src/ownership/run-scope.ts'
import type { RunScope } from '../../src/ownership/run-scope.ts'
import { wrapEvents } from '../../src/ownership/wrap-events.ts'

type Listener = (...args: unknown[]) => unknown

const strays: { readonly worker: string; readonly error: unknown }[] = []
function scopeOf(worker: string): RunScope {
  return createRunScope(worker, 0, 1, {
    stray: (error) => strays.push({ worker, error }),
    exitCalled: () => {},
    touched: () => {},
    output: () => {},
  })
}
const owner = scopeOf('owner')
const other = scopeOf('other')

/** Operations on an emitter; their result is the same in plain Node, on an own emitter and on one of another worker. */
const ACTS: Readonly<Record<string, (emitter: EventEmitter) => unknown>> = {
  'on, emit, off': (e) => {
    const seen: unknown[] = []
    const listener: Listener = (...args) => seen.push(args)
    e.on('x', listener)
    e.emit('x', 1, 2)
    e.off('x', listener)
    e.emit('x', 3)
    return [seen, e.listenerCount('x')]
  },
  'once leaves no listener': (e) => {
    let calls = 0
    for (let i = 0; i < 20; i++) {
      e.once('x', () => calls++)
      e.emit('x')
    }
    return [calls, e.listenerCount('x'), e.eventNames()]
  },
  'off() with the passed function removes a once-listener': (e) => {
    const listener = (): void => {}
    e.once('x', listener)
    e.prependOnceListener('x', listener)
    e.off('x', listener)
    e.removeListener('x', listener)
    return e.listenerCount('x')
  },
  'a once-listener that emits again is called once': (e) => {
    let calls = 0
    e.once('x', () => {
      calls++
      e.emit('x')
    })
    e.emit('x')
    return calls
  },
  'listeners() and listenerCount(event, listener)': (e) => {
    const a = (): void => {}
    const b = (): void => {}
    e.on('x', a)
    e.once('x', b)
    return [
      e.listeners('x').map((fn) => [a, b].indexOf(fn as never)),
      e.listenerCount('x', a),
      e.listenerCount('x', b),
    ]
  },
  'rawListeners() of on is the function, of once a wrapper that removes itself': (e) => {
    let calls = 0
    const a = (): void => {}
    const b = (): void => void calls++
    e.on('x', a)
    e.once('x', b)
    const [first, second] = e.rawListeners('x') as (Listener & { listener?: unknown })[]
    const shape = [first === a, second === (b as Listener), second?.listener === b]
    second?.()
    return [shape, calls, e.rawListeners('x').length]
  },
  'rawListeners() of a listener that rawListeners() returned': (e) => {
    e.once('x', () => {})
    for (const raw of e.rawListeners('x')) e.off('x', raw as Listener)
    return e.listenerCount('x')
  },
  'prependListener comes first': (e) => {
    const seen: number[] = []
    e.on('x', () => seen.push(1))
    e.prependListener('x', () => seen.push(2))
    e.prependOnceListener('x', () => seen.push(3))
    e.emit('x')
    e.emit('x')
    return seen
  },
  'this is the emitter': (e) => {
    const seen: boolean[] = []
    function listener(this: unknown): void {
      seen.push(this === e)
    }
    e.on('x', listener)
    e.once('x', listener)
    e.emit('x')
    return seen
  },
  "'newListener' and 'removeListener' get the function that was passed": (e) => {
    const seen: unknown[] = []
    const listener = (): void => {}
    e.on('newListener', (event, fn) => seen.push(['new', event, fn === listener]))
    e.on('removeListener', (event, fn) => seen.push(['removed', event, fn === listener]))
    e.on('x', listener)
    e.once('x', listener)
    e.emit('x')
    e.off('x', listener)
    return seen
  },
  'a function with a `listener` property is removed by either function': (e) => {
    const inner = (): void => {}
    const carrier = Object.assign(() => {}, { listener: inner })
    e.on('x', carrier)
    const listed = e.listeners('x')[0] === inner
    e.off('x', carrier)
    e.on('x', carrier)
    e.off('x', inner)
    return [listed, e.listenerCount('x')]
  },
  'the same function twice': (e) => {
    let calls = 0
    const listener = (): void => void calls++
    e.on('x', listener)
    e.on('x', listener)
    e.off('x', listener)
    e.emit('x')
    return calls
  },
  'events.once resolves and leaves no listener': async (e) => {
    const waiting = once(e, 'x')
    e.emit('x', 'value')
    return [await waiting, e.listenerCount('x'), e.listenerCount('error')]
  },
  'events.once rejects with an error': async (e) => {
    const waiting = once(e, 'x')
    e.emit('error', new Error('wanted'))
    return [await waiting.catch((error: unknown) => String(error)), e.eventNames()]
  },
  'events.on iterates and leaves no listener': async (e) => {
    const seen: unknown[] = []
    const iterator = on(e, 'x')
    e.emit('x', 1)
    e.emit('x', 2)
    for await (const [value] of iterator) if (seen.push(value) === 2) break
    return [seen, e.eventNames()]
  },
  'errorMonitor receives an error before its listener': (e) => {
    const seen: string[] = []
    e.on(errorMonitor, () => seen.push('monitor'))
    e.on('error', () => seen.push('listener'))
    e.emit('error', new Error('x'))
    return seen
  },
  'with captureRejections, a rejection reaches the error listener': async () => {
    const e = new EventEmitter({ captureRejections: true })
    const caught = new Promise((resolve) => e.on('error', resolve))
    e.on('x', (async () => {
      throw new Error('rejected')
    }) as () => void)
    e.emit('x')
    return String(await caught)
  },
  'a listener that is no function is refused': (e) =>
    (['on', 'once', 'prependListener', 'prependOnceListener', 'off'] as const).map((method) => {
      try {
        return e[method]('x', undefined as never)
      } catch (error) {
        return (error as { code?: string }).code
      }
    }),
  'emit returns whether there are listeners, not what they return': (e) => {
    const before = e.emit('x')
    e.on('x', () => 'ignored')
    return [before, e.emit('x')]
  },
}

for (const [law, act] of Object.entries(ACTS))
  t.test(law, async (t) => {
    const plain = await act(new EventEmitter())
    const undo = wrapEvents()
    try {
      const own = await runInScope(other, async () => act(new EventEmitter()))
      t.same(own, plain, 'on an own emitter')
      const foreign = runInScope(owner, () => new EventEmitter())
      t.same(await runInScope(other, async () => act(foreign)), plain, 'on an emitter of another worker')
      const shared = new EventEmitter()
      t.same(await runInScope(other, async () => act(shared)), plain, 'on an emitter of no worker')
    } finally {
      undo()
    }
  })

t.test(
  'a listener on an emitter of another worker runs in its own context, and its errors are charged to its worker',
  (t) => {
    const undo = wrapEvents()
    const emitter = runInScope(owner, () => new EventEmitter())
    const seen: (string | undefined)[] = []
    runInScope(other, () => {
      emitter.on('x', () => {
        seen.push(currentScope()?.worker)
        throw new Error('of the listener')
      })
      emitter.once('x', () => {
        throw new Error('of the once-listener')
      })
    })
    runInScope(owner, () => {
      emitter.on('x', () => seen.push(currentScope()?.worker))
      t.equal(emitter.emit('x'), true, 'emit() continues')
    })
    t.same(seen, ['other', 'owner'])
    t.match(strays.splice(0), [
      { worker: 'other', error: { message: 'of the listener' } },
      { worker: 'other', error: { message: 'of the once-listener' } },
    ])
    undo()
    t.end()
  },
)

t.test('an error of an own listener is thrown by emit(), as in plain Node', (t) => {
  const undo = wrapEvents()
  runInScope(other, () => {
    const emitter = new EventEmitter()
    emitter.on('x', () => {
      throw new Error('mine')
    })
    t.throws(() => emitter.emit('x'), { message: 'mine' })
  })
  t.same(strays, [])
  undo()
  t.end()
})

t.test('the stamp of an emitter is invisible to a program', (t) => {
  const undo = wrapEvents()
  const emitter = runInScope(other, () => new EventEmitter())
  t.same(Reflect.ownKeys(emitter), Reflect.ownKeys(new EventEmitter()))
  undo()
  t.end()
})

t.test('the undo restores every method', (t) => {
  const names = ['on', 'addListener', 'off', 'removeListener', 'prependListener', 'rawListeners'] as const
  const before = names.map((name) => EventEmitter.prototype[name])
  const undo = wrapEvents()
  runInScope(other, () =>
    new EventEmitter().on(
      'x',
      Object.assign(() => {}, { listener: () => {} }),
    ),
  )
  runInScope(other, () =>
    runInScope(owner, () => new EventEmitter()).on(
      'x',
      Object.assign(() => {}, { listener: () => {} }),
    ),
  )
  undo()
  t.same(
    names.map((name) => EventEmitter.prototype[name] === before[names.indexOf(name)]),
    names.map(() => true),
  )
  t.end()
})
