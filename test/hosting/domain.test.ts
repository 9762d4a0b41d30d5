// node:domain: where a worker has the process or thread to itself, a domain receives the errors of its jobs as in plain Node.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import {
  host,
  OWN_PLACES,
  plainTranscript,
  program,
  siblingRuns,
  SUBJECT,
  transcript,
  UNTOUCHED,
} from './places.ts'

leakGuard(t)

/** A job runner: each job runs in a separate domain; a failed job is marked as failed and the next one runs. */
const JOBS = program(
  `import domain from 'node:domain'\nimport { EventEmitter } from 'node:events'\nimport { stat } from 'node:fs'`,
  `
  const fail = (where) => { throw new Error('in ' + where) }
  const jobs = {
    timer: () => setTimeout(() => fail('a timer'), 5),
    interval: () => { const timer = setInterval(() => { clearInterval(timer); fail('an interval') }, 5) },
    immediate: () => setImmediate(() => fail('an immediate')),
    tick: () => process.nextTick(() => fail('a tick')),
    callback: () => stat('/', () => fail('a callback')),
    emitter: () => { const emitter = new EventEmitter(); setTimeout(() => emitter.emit('error', new Error('of an emitter')), 5) },
    promise: () => void Promise.reject(new Error('of a promise')),
    nested: () => setTimeout(() => setImmediate(() => fail('an immediate of a timer')), 5),
  }
  for (const [name, job] of Object.entries(jobs))
    await new Promise((failed) => {
      const d = domain.create()
      d.on('error', (error) => { say(name + ' failed: ' + error.message); failed() })
      d.run(job)
    })`,
)

void t.test('a domain receives the errors of its jobs, as in plain Node', async (t) => {
  const plain = await plainTranscript(t, JOBS)
  t.equal(plain.length, 8, 'in plain Node each job receives its error')
  for (const place of OWN_PLACES)
    await t.test(place, async (t) => {
      const herd = await host(t, place, JOBS)
      t.same(await transcript(herd), plain)
    })
})

interface Attempt {
  readonly law: string
  /** `d` is a domain; the final error is 'late'. */
  readonly body: string
}

const LISTEN = `d.on('error', (error) => { say('failed: ' + error.message); failed() })`
const LATE = `() => { throw new Error('late') }`

/** Ways to enter a domain. Node's own hook enters it again before each callback that was created inside. */
const ATTEMPTS: readonly Attempt[] = [
  { law: 'run in the run of the worker', body: `${LISTEN}; d.run(() => setTimeout(${LATE}, 5))` },
  { law: 'run in a timer', body: `setTimeout(() => { ${LISTEN}; d.run(() => setTimeout(${LATE}, 5)) }, 5)` },
  { law: 'bound, and called by a timer', body: `setTimeout(d.bind(${LATE}), 5); ${LISTEN}` },
  { law: 'bound, and called by an immediate', body: `setImmediate(d.bind(${LATE})); ${LISTEN}` },
  { law: 'entered and left open', body: `d.enter(); ${LISTEN}; setTimeout(${LATE}, 5)` },
  { law: 'run before it has a listener', body: `d.run(() => setTimeout(${LATE}, 5)); ${LISTEN}` },
  {
    law: 'run by a program that catches the refusal',
    body: `try { d.run(() => {}) } catch {}; setTimeout(() => { ${LISTEN}; d.run(() => setTimeout(${LATE}, 5)) }, 5)`,
  },
]

void t.test(
  'a domain in the shared loop works or is refused with a reason, and affects no other worker',
  async (t) => {
    for (const { law, body } of ATTEMPTS)
      await t.test(law, async (t) => {
        const source = program(
          `import domain from 'node:domain'`,
          `
  await wait(5)
  const d = domain.create()
  await new Promise((failed) => { ${body} })`,
        )
        t.same(await plainTranscript(t, source), ['failed: late'], 'plain Node')
        const herd = await host(t, 'shared', source)
        const last = (await transcript(herd)).at(-1)
        if (last !== 'failed: late') {
          t.match(last ?? '', /^$|placement 'process'/, 'a run that ended because of it names the remedy')
          const refused = { worker: SUBJECT, event: 'process-touched', kind: /domain|CaptureCallback/ }
          t.ok(herd.matching(refused).length > 0, 'the refusal is logged')
        }
        t.same(await siblingRuns(herd), UNTOUCHED)
        t.same(await herd.stop(), { code: 0, signal: null })
        t.same(herd.matching({ event: /^(unattributed|internal-error)$/ }), [])
      })
  },
)
