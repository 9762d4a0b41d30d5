// Bad input: a thousand child processes, and children that start children while they are ended. All end with the run, at most 20
// are named, and the loop of the siblings is not held.
import t from 'tap'
import { eventually } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { host, PLACES, program, SUBJECT } from './places.ts'
import { marked, running } from './processes.ts'

leakGuard(t)

const SPAWN = `import { spawn } from 'node:child_process'`
const UNTIL_STOP = `await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`

/** The longest turn of the loop, as CPU time of its thread: time in which other processes run does not count. */
const TURNS = `
import { closeSync, openSync, readSync } from 'node:fs'
export async function run(ctx) {
  const fd = openSync('/proc/thread-self/schedstat', 'r')
  const buffer = Buffer.alloc(64)
  const cpuMs = () => Number(buffer.toString('latin1', 0, readSync(fd, buffer, 0, 64, 0)).split(' ')[0]) / 1e6
  let longestMs = 0
  let before = cpuMs()
  const turn = () => {
    const now = cpuMs()
    longestMs = Math.max(longestMs, now - before)
    before = now
    if (!ctx.signal.aborted) setTimeout(turn, 1)
  }
  turn()
  ctx.every('100ms', () => { console.log('longest turn ' + longestMs); longestMs = 0 })
  ${UNTIL_STOP}
  closeSync(fd)
}`
const TURN_MAX_MS = 50

t.test(
  'shared: a thousand child processes of a run end with it, and no turn of the loop is long',
  async (t) => {
    const mark = marked(t)
    const herd = await startHerd(t, {
      workers: {
        turns: TURNS,
        [SUBJECT]: `${SPAWN}
        export async function run(ctx) {
          for (let i = 0; i < 1000; i++) {
            spawn('sleep', ['1000'], { stdio: 'ignore', argv0: 'sleep-${mark}' })
            if (i % 10 === 9) await new Promise((resolve) => setImmediate(resolve))
          }
          console.log('all started')
          ${UNTIL_STOP}
        }`,
      },
      config: { workers: { turns: {}, [SUBJECT]: { restart: 'never' } } },
    })
    await herd.line({ worker: SUBJECT, msg: 'all started' })
    t.equal(running(mark).length, 1000)
    await herd.line({ worker: 'turns', msg: /^longest/ }, herd.mark())
    const from = herd.mark()
    await herd.act(SUBJECT, 'stop')
    const { children } = await herd.line({ worker: SUBJECT, event: 'leftovers' }, from)
    t.equal((children as string[]).length, 21)
    t.equal((children as string[]).at(-1), 'and 980 more')
    t.same(herd.matching({ event: 'children-killed' }), [])
    await herd.untilWorker(SUBJECT, () => running(mark).length === 0)
    await herd.line({ worker: 'turns', msg: /^longest/ }, herd.mark())
    const turns = herd
      .matching({ worker: 'turns', msg: /^longest/ }, from)
      .map(({ msg }) => Number(String(msg).split(' ')[2]))
    t.ok(Math.max(...turns) < TURN_MAX_MS, `the longest turn took ${Math.max(...turns)} ms`)
    await herd.stop()
  },
)

/** Starts two of itself, down to a depth: 255 shells, a level each 50 ms. Its second argument marks them. */
const BOMB = `
[ "$1" -gt 0 ] || { sleep 1000; exit; }
sleep 0.05
sh "$0" $(($1 - 1)) "$2" &
sh "$0" $(($1 - 1)) "$2" &
wait
`

for (const place of PLACES)
  t.test(
    `${place}: child processes that start others while they are ended all end with the run`,
    async (t) => {
      const mark = marked(t)
      const source = program(SPAWN, `spawn('/bin/sh', ['bomb.sh', '8', '${mark}'], { stdio: 'ignore' })`)
      const herd = await host(t, place, source, {}, { files: { 'bomb.sh': BOMB } })
      await herd.line({ event: 'said-all' })
      await eventually('some processes', () => running(mark).length > 20)
      t.same(await herd.stop(), { code: 0, signal: null })
      t.same(running(mark), [])
      const { children } = await herd.line({ worker: SUBJECT, event: 'leftovers' })
      t.equal((children as string[]).length, 21, 'twenty are named, the others counted')
      t.match((children as string[]).at(-1), /^and \d+ more$/)
    },
  )
