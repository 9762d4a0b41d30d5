import t from 'tap'
import { uncertainBytes } from '../../src/measure/torn-reads.ts'

const p = (pid: number, sharedBytes = 0, startTicks = 1) => ({ pid, startTicks, sharedBytes })
const nobody = (): undefined => undefined

t.test('without a process that starts or ends the error is 0', async (t) => {
  t.equal(uncertainBytes([p(1), p(2)], [p(2), p(1)], [p(1, 50), p(2, 50)], nobody), 0)
})

t.test('a started process counts with its shared part, an ended one with its last', async (t) => {
  const read = [p(1, 50), p(2, 30)]
  t.equal(
    uncertainBytes([p(1), p(2)], [p(1), p(2), p(3)], read, () => 20),
    20,
  )
  t.equal(uncertainBytes([p(1), p(2)], [p(1)], read, nobody), 30)
})

t.test('a process that ended unread counts as the largest of those read', async (t) => {
  t.equal(uncertainBytes([p(1), p(2), p(3)], [p(1), p(2)], [p(1, 50), p(2, 30)], nobody), 50)
  t.equal(uncertainBytes([p(1)], [p(1), p(9)], [p(1, 50)], nobody), 50, 'or who came and cannot be read')
})

t.test('a reused pid is another process', async (t) => {
  t.equal(
    uncertainBytes([p(1, 0, 1)], [p(1, 0, 2)], [p(1, 50, 1)], () => 7),
    57,
  )
})

/** Reads the members one after the other while `changes` happen between the reads; each maps the same 1000-byte region. */
t.test('for any forks and ends between the reads, the error is within its bound', async (t) => {
  let state = 7
  const random = (below: number): number => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state % below
  }
  for (let round = 0; round < 500; round++) {
    let alive = Array.from({ length: 1 + random(20) }, (_, i) => p(i + 1))
    const before = [...alive]
    const read: ReturnType<typeof p>[] = []
    const isFork = random(2) === 0
    let next = 100
    for (const one of before) {
      if (alive.some((other) => other.pid === one.pid))
        read.push({ ...one, sharedBytes: 1000 / alive.length })
      const changes = random(4)
      for (let i = 0; i < changes; i++)
        if (isFork) alive = [...alive, p(next++)]
        else if (alive.length > 1) alive = alive.filter((_, at) => at !== random(alive.length))
    }
    const sum = read.reduce((total, r) => total + r.sharedBytes, 0)
    const bound = uncertainBytes(before, alive, read, () => 1000 / alive.length)
    t.ok(Math.abs(sum - 1000) <= bound + 1e-6, `round ${round}: ${sum} is off by more than ${bound}`)
  }
})
