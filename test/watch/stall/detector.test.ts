// The pure parts: when a loop counts as blocked, whether it is idle, which worker a stack names, and how often a stall is
// logged. And the parser of the kernel's file.
import t from 'tap'
import { LineBudget } from '../../../src/watch/line-budget.ts'
import { reachTable } from '../../../src/imports/table.ts'
import { nameCulprit, placeOf } from '../../../src/watch/stall/culprit.ts'
import {
  checkPeriodMs,
  epollOf,
  IdleEpoll,
  openEpollReader,
  StallDetector,
} from '../../../src/watch/stall/detector.ts'

const newDetector = (): StallDetector => new StallDetector({ afterMs: 1000, periodMs: 280 })
/** Checks as often as the detector requests until `untilMs`; returns each decision but 'fine', with its time. */
function run(
  detector: StallDetector,
  fromMs: number,
  untilMs: number,
  sample: { idle?: boolean; answered: number },
): string[] {
  const decisions: string[] = []
  for (let nowMs = fromMs; nowMs <= untilMs; nowMs += detector.nextMs(nowMs)) {
    const decision = detector.decide({ nowMs, idle: sample.idle, answered: sample.answered })
    if (decision.kind !== 'fine') decisions.push(`${nowMs} ${decision.kind}`)
    if (decision.kind === 'stalled') break
  }
  return decisions
}

t.test('an idle loop is never pinged', (t) => {
  t.same(run(newDetector(), 0, 10_000, { idle: true, answered: 0 }), [])
  t.end()
})

t.test('a loop that does not answer is stalled exactly `after` after the ping', (t) => {
  t.same(run(newDetector(), 0, 5000, { idle: false, answered: 0 }), ['0 ping', '560 suspect', '1000 stalled'])
  t.end()
})

t.test('a busy loop that answers is pinged again and never stalled', (t) => {
  const detector = newDetector()
  for (let nowMs = 0, number = 0; nowMs < 10_000; nowMs += detector.nextMs(nowMs), number++)
    t.equal(detector.decide({ nowMs, idle: false, answered: number }).kind, 'ping')
  t.end()
})

t.test('a turn that does not answer for longMs is reported as long, once', (t) => {
  const detector = new StallDetector({ afterMs: 1000, periodMs: 280, longMs: 10 })
  t.same(run(detector, 0, 5000, { idle: false, answered: 0 }), [
    '0 ping',
    '10 long',
    '570 suspect',
    '1000 stalled',
  ])
  t.end()
})

t.test('a busy loop is checked every longMs, and ever less often while it is idle', (t) => {
  const detector = new StallDetector({ afterMs: 1000, periodMs: 280, longMs: 10 })
  const pace = (idle: boolean | undefined, answered: number): number => {
    detector.decide({ nowMs: 0, idle, answered })
    return detector.nextMs(0)
  }
  t.same([pace(true, 0), pace(true, 0)], [280, 280])
  t.same([pace(false, 0), pace(false, 1), pace(false, 2)], [10, 10, 10])
  t.same(
    Array.from({ length: 6 }, () => pace(true, 9)),
    [20, 40, 80, 160, 280, 280],
  )
  t.end()
})

t.test('a check that was itself late proves nothing', (t) => {
  const detector = newDetector()
  t.equal(detector.decide({ nowMs: 0, idle: false, answered: 0 }).kind, 'ping')
  detector.nextMs(0)
  t.equal(
    detector.decide({ nowMs: 60_000, idle: false, answered: 0 }).kind,
    'fine',
    'SIGSTOP stops both threads',
  )
  detector.nextMs(60_000)
  t.same(run(detector, 60_280, 70_000, { idle: false, answered: 0 }), ['60560 suspect', '61000 stalled'])
  t.end()
})

t.test('at most four wake-ups a second by default', (t) => {
  t.ok(1000 / checkPeriodMs(1000, true) <= 4)
  t.ok(2 * (1000 / checkPeriodMs(1000, false)) <= 4)
  t.equal(checkPeriodMs(60, true), 30)
  t.equal(checkPeriodMs(20, true), 10)
  t.end()
})

t.test('a check of the loop leaves no buffers for V8 to collect', (t) => {
  const read = openEpollReader('self', process.pid)
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 20; i++) t.equal(read?.(), undefined, 'this loop is busy')
  t.ok(process.memoryUsage().arrayBuffers - before < 65_536, 'readFileSync allocates as much for one read')
  t.end()
})

t.test('a loop is idle only in an epoll, and only in the one that was proven to be its own', (t) => {
  t.equal(epollOf('281 0xe 0x7ffc 0x400', 'x64'), '0xe')
  t.equal(epollOf('22 0xe 0x7ffc 0x400', 'arm64'), '0xe')
  t.equal(epollOf('running\n', 'x64'), undefined)
  t.equal(epollOf('202 0xe 0x7ffc', 'x64'), undefined, 'a futex')
  const learned = new IdleEpoll()
  learned.learn('0xe', 1)
  learned.learn('0xe', 2)
  t.notOk(learned.isIdle('0xe'))
  learned.learn('0x16', 3)
  learned.learn('0xe', 1)
  learned.learn('0xe', 500)
  learned.learn('0xe', 1)
  learned.learn('0xe', 1)
  t.notOk(learned.isIdle('0xe'), 'a slow answer restarts the count')
  learned.learn('0xe', 1)
  t.ok(learned.isIdle('0xe'))
  t.notOk(learned.isIdle('0x16'), 'execSync waits on another one')
  t.notOk(learned.isIdle(undefined))
  const given = new IdleEpoll(['0xe', '0xf'])
  t.notOk(given.isIdle('0x16'), 'opened later')
  t.ok(given.isIdle('0xe'))
  t.notOk(given.isIdle('0xf'), "another thread's")
  t.end()
})

const owners = {
  byModule: new Map([
    ['/h/bad.mjs', ['bad']],
    ['/h/one.mjs', ['one']],
    ['/h/twins.mjs', ['castor', 'pollux']],
  ]),
  ownRoot: '/byre/',
}
const frame = (url: string, name = 'f'): { function: string; url: string; line: number } => ({
  function: name,
  url,
  line: 7,
})

const CASES: readonly [string, string[], string | undefined, string | undefined, object | undefined][] = [
  [
    'the innermost entry module',
    ['file:///h/bad.mjs', 'file:///h/one.mjs'],
    'one',
    'one',
    { worker: 'bad', by: 'stack' },
  ],
  [
    'a library called by a worker',
    ['file:///n/x.js', 'file:///h/bad.mjs'],
    'one',
    'one',
    { worker: 'bad', by: 'stack' },
  ],
  [
    'a module with a query',
    ['file:///h/bad.mjs?byre=2'],
    undefined,
    undefined,
    { worker: 'bad', by: 'stack' },
  ],
  [
    'the context where no entry module is on the stack',
    ['file:///n/x.js'],
    'bad',
    'one',
    { worker: 'bad', by: 'context' },
  ],
  [
    'the context where two workers share the module',
    ['file:///h/twins.mjs'],
    'pollux',
    'one',
    { worker: 'pollux', by: 'context' },
  ],
  [
    'the worker entered last where there is no other evidence',
    ['file:///n/x.js'],
    undefined,
    'one',
    { worker: 'one', by: 'entered' },
  ],
  ["no worker for byre's own code", ['node:net', 'file:///byre/a.js'], undefined, 'one', undefined],
  ['no worker without evidence', [], undefined, undefined, undefined],
]
for (const [law, urls, context, entered, wanted] of CASES)
  t.test(`names ${law}`, (t) => {
    const found = nameCulprit({ frames: urls.map((url) => frame(url)), context, entered }, owners)
    t.same(found, wanted)
    t.end()
  })

t.test('names the worker that alone imports the innermost file, once the imports are known', async (t) => {
  const reach = reachTable(['/n/lib.js'], [0], [['/h/one.mjs']])
  const sighting = { frames: [frame('file:///n/lib.js')], context: 'two', entered: 'two' }
  t.same(nameCulprit(sighting, { ...owners, reach }), { worker: 'one', by: 'stack' })
})

t.test("the place is the innermost frame that is neither Node's nor byre's, with the call into Node", (t) => {
  const frames = [
    frame('node:buffer', 'from'),
    frame('node:internal/crypto/pbkdf2', 'pbkdf2Sync'),
    frame('file:///n/x.js', ''),
  ]
  t.same(placeOf(frames, '/byre/'), { function: '(anonymous)', file: '/n/x.js', line: 7, call: 'pbkdf2Sync' })
  t.equal(placeOf([frame('node:net'), frame('file:///byre/a.js')], '/byre/'), undefined)
  t.end()
})

t.test('a worker is reported three times an hour for each kind, and suppressed lines are counted', (t) => {
  const budget = new LineBudget()
  t.same(
    [0, 1, 2, 3, 4].map((at) => budget.take('a', 'javascript', at)),
    [0, 0, 0, undefined, undefined],
  )
  t.equal(budget.take('a', 'native', 5), 0)
  t.equal(budget.take('b', 'javascript', 5), 0)
  t.equal(budget.take('a', 'javascript', 3_600_001), 2)
  t.end()
})
