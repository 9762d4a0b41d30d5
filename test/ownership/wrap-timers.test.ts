// When a run ends, its timers are found in Node's own lists, reported and cleared; timers of other runs stay.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { createRunScope, runInScope } from '../../src/ownership/run-scope.ts'
import type { RunScope } from '../../src/ownership/run-scope.ts'
import { clearTimers, rememberTimers } from '../../src/ownership/wrap-timers.ts'

function scopeOf(worker: string): RunScope {
  return createRunScope(worker, 0, 1, {
    stray: () => {},
    exitCalled: () => {},
    touched: () => {},
    output: () => {},
  })
}

function clearLeakedTimers(scope: RunScope): string[] {
  const names: string[] = []
  for (const _ of clearTimers(scope, names));
  return names
}

function law(title: string, body: (t: Test) => unknown): void {
  void t.test(title, async (t) => {
    const undo = rememberTimers()
    try {
      await body(t)
    } finally {
      undo()
    }
  })
}

law('pending timers of any duration are reported and cleared', async (t) => {
  const scope = scopeOf('a')
  const fired: string[] = []
  runInScope(scope, () => {
    setTimeout(function whole() {
      fired.push('whole')
    }, 20)
    setTimeout(() => fired.push('fraction'), 20.7)
    setTimeout(() => fired.push('none'))
    setTimeout(() => fired.push('beyond'), 2 ** 40)
    setInterval(function beat() {
      fired.push('beat')
    }, 20).unref()
    clearTimeout(setTimeout(() => fired.push('cleared'), 20))
    setTimeout(() => fired.push('closed'), 20).close()
  })
  const names = clearLeakedTimers(scope)
  t.same(names.toSorted(), [
    'setInterval(beat)',
    'setTimeout(anonymous)',
    'setTimeout(anonymous)',
    'setTimeout(anonymous)',
    'setTimeout(whole)',
  ])
  t.same(clearLeakedTimers(scope), [], 'nothing is left')
  await sleep(60)
  t.same(fired, [])
})

law('timers of another run, and of no run, with the same duration stay', async (t) => {
  const a = scopeOf('a')
  const b = scopeOf('b')
  const fired: string[] = []
  for (const [name, scope] of [
    ['a', a],
    ['b', b],
    ['none', undefined],
  ] as const)
    runInScope(scope, () => void setTimeout(() => fired.push(name), 10))
  t.equal(clearLeakedTimers(a).length, 1)
  await sleep(40)
  t.same(fired, ['b', 'none'])
  t.same(clearLeakedTimers(b), [], 'what has fired is not pending')
})

law('an interval whose callback is running is found too', async (t) => {
  const scope = scopeOf('a')
  let beats = 0
  const names = await new Promise<string[]>((resolve) =>
    runInScope(scope, () =>
      setInterval(() => {
        beats++
        resolve(clearLeakedTimers(scope))
      }, 5),
    ),
  )
  await sleep(30)
  t.equal(names.length, 1)
  t.equal(beats, 1)
})

law('the number of recorded timers is bounded by the pending ones, not by the started ones', async (t) => {
  const scope = scopeOf('a')
  await runInScope(scope, async () => {
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from(
          { length: 200 },
          async (_, i) => new Promise((resolve) => setTimeout(resolve, (i * 0.05 + round) % 11)),
        ),
      )
      for (let i = 0; i < 200; i++) clearTimeout(setTimeout(() => {}, 1000 + round * 200 + i))
    }
  })
  t.ok((scope.timers?.durations.size ?? 0) < 1000, `durations noted: ${scope.timers?.durations.size}`)
  for (let i = 0; i < 2000; i++) runInScope(scope, () => clearInterval(setInterval(() => {}, 1000)))
  t.ok((scope.timers?.intervals.length ?? 0) < 600, `intervals noted: ${scope.timers?.intervals.length}`)
})

law('setTimeout keeps its promise form, its arguments and its handle', async (t) => {
  const { promisify } = await import('node:util')
  await runInScope(scopeOf('a'), async () => {
    t.equal(await promisify(setTimeout)(1, 'value'), 'value')
    t.same(await new Promise((resolve) => setTimeout((...args: unknown[]) => resolve(args), 1, 1, 2)), [1, 2])
    const handle = setTimeout(() => {}, 1)
    t.equal(typeof handle[Symbol.toPrimitive](), 'number')
    clearTimeout(handle[Symbol.toPrimitive]())
  })
})
