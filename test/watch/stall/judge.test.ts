// The pure parts: when a loop counts as blocked, whether it rests, whom a stack names, how often that is told. And the
// reading of the kernel's file.
import t from 'tap'
import { Judge, periodOf } from '../../../src/watch/stall/judge.ts'
import { LineBudget } from '../../../src/watch/stall/line-budget.ts'
import { epollOf, openEpollReader, RestingPlace } from '../../../src/watch/stall/loop-state.ts'
import { nameCulprit, placeOf } from '../../../src/watch/stall/name-culprit.ts'

const judge = (): Judge => new Judge({ afterMs: 1000, periodMs: 280 })
/** Looks as often as it asks to until `untilMs`; answers what was ruled besides 'fine', with its time. */
function watch(
  j: Judge,
  fromMs: number,
  untilMs: number,
  look: { resting?: boolean; answered: number },
): string[] {
  const rulings: string[] = []
  for (let nowMs = fromMs; nowMs <= untilMs; nowMs += j.nextMs(nowMs)) {
    const ruling = j.judge({ nowMs, resting: look.resting, answered: look.answered })
    if (ruling.kind !== 'fine') rulings.push(`${nowMs} ${ruling.kind}`)
    if (ruling.kind === 'stalled') break
  }
  return rulings
}

t.test('a loop that rests is never asked', (t) => {
  t.same(watch(judge(), 0, 10_000, { resting: true, answered: 0 }), [])
  t.end()
})

t.test('a loop that does not answer is stalled exactly `after` after it was asked', (t) => {
  t.same(watch(judge(), 0, 5000, { resting: false, answered: 0 }), ['0 ask', '560 suspect', '1000 stalled'])
  t.end()
})

t.test('a busy loop that answers is asked again and never stalled', (t) => {
  const j = judge()
  for (let nowMs = 0, number = 0; nowMs < 10_000; nowMs += j.nextMs(nowMs), number++)
    t.equal(j.judge({ nowMs, resting: false, answered: number }).kind, 'ask')
  t.end()
})

t.test('a turn that does not answer for longMs is long, once, whatever it becomes', (t) => {
  const j = new Judge({ afterMs: 1000, periodMs: 280, longMs: 10 })
  t.same(watch(j, 0, 5000, { resting: false, answered: 0 }), [
    '0 ask',
    '10 long',
    '570 suspect',
    '1000 stalled',
  ])
  t.end()
})

t.test('a loop at work is looked at each longMs, and ever less often while it rests', (t) => {
  const j = new Judge({ afterMs: 1000, periodMs: 280, longMs: 10 })
  const pace = (resting: boolean | undefined, answered: number): number => {
    j.judge({ nowMs: 0, resting, answered })
    return j.nextMs(0)
  }
  t.same([pace(true, 0), pace(true, 0)], [280, 280])
  t.same([pace(false, 0), pace(false, 1), pace(false, 2)], [10, 10, 10])
  t.same(
    Array.from({ length: 6 }, () => pace(true, 9)),
    [20, 40, 80, 160, 280, 280],
  )
  t.end()
})

t.test('a look that came late itself proves nothing', (t) => {
  const j = judge()
  t.equal(j.judge({ nowMs: 0, resting: false, answered: 0 }).kind, 'ask')
  j.nextMs(0)
  t.equal(j.judge({ nowMs: 60_000, resting: false, answered: 0 }).kind, 'fine', 'SIGSTOP stops both')
  j.nextMs(60_000)
  t.same(watch(j, 60_280, 70_000, { resting: false, answered: 0 }), ['60560 suspect', '61000 stalled'])
  t.end()
})

t.test('the pace keeps to four wake-ups a second by default', (t) => {
  t.ok(1000 / periodOf(1000, true) <= 4)
  t.ok(2 * (1000 / periodOf(1000, false)) <= 4)
  t.equal(periodOf(60, true), 30)
  t.equal(periodOf(20, true), 10)
  t.end()
})

t.test('looking at a loop leaves no buffers for V8 to collect', (t) => {
  const read = openEpollReader('self', process.pid)
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 20; i++) t.equal(read?.(), undefined, 'this loop computes')
  t.ok(process.memoryUsage().arrayBuffers - before < 65_536, 'readFileSync takes as much for one look')
  t.end()
})

t.test("only an epoll counts as rest, and only the one that was proven to be the loop's own", (t) => {
  t.equal(epollOf('281 0xe 0x7ffc 0x400', 'x64'), '0xe')
  t.equal(epollOf('22 0xe 0x7ffc 0x400', 'arm64'), '0xe')
  t.equal(epollOf('running\n', 'x64'), undefined)
  t.equal(epollOf('202 0xe 0x7ffc', 'x64'), undefined, 'a futex')
  const place = new RestingPlace()
  place.learn('0xe', 1)
  place.learn('0xe', 2)
  t.notOk(place.isRest('0xe'))
  place.learn('0x16', 3)
  place.learn('0xe', 1)
  place.learn('0xe', 500)
  place.learn('0xe', 1)
  place.learn('0xe', 1)
  t.notOk(place.isRest('0xe'), 'a slow answer begins anew')
  place.learn('0xe', 1)
  t.ok(place.isRest('0xe'))
  t.notOk(place.isRest('0x16'), 'execSync waits in another')
  t.notOk(place.isRest(undefined))
  const given = new RestingPlace(['0xe', '0xf'])
  t.notOk(given.isRest('0x16'), 'opened later')
  t.ok(given.isRest('0xe'))
  t.notOk(given.isRest('0xf'), "another thread's")
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
    'the one last entered where nothing else tells',
    ['file:///n/x.js'],
    undefined,
    'one',
    { worker: 'one', by: 'entered' },
  ],
  ["nobody for byre's own code", ['node:net', 'file:///byre/a.js'], undefined, 'one', undefined],
  ['nobody without any clue', [], undefined, undefined, undefined],
]
for (const [law, urls, context, entered, wanted] of CASES)
  t.test(`names ${law}`, (t) => {
    const found = nameCulprit({ frames: urls.map((url) => frame(url)), context, entered }, owners)
    t.same(found, wanted)
    t.end()
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

t.test('a worker is told of three times an hour for each kind, and what was left out is counted', (t) => {
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
