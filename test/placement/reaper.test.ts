// The shell that ends orphaned processes is optional: if it cannot be started, that is logged and the herd keeps running.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const REAPER = new URL('../../src/placement/reaper.js', import.meta.url)

const CLOCK = new URL('../../src/base/clock.js', import.meta.url)

/** Prints what a process without free descriptors logs. */
const PROBE = `
import { closeSync, openSync } from 'node:fs'
import { createReaper } from '${REAPER.href}'
import { systemClock } from '${CLOCK.href}'
const warned = []
const reaper = createReaper({ warn: (fields) => warned.push(fields) }, systemClock)
const held = []
try { for (;;) held.push(openSync('/dev/null')) } catch {}
closeSync(held.pop()) // for what watch() reads in /proc
const remove = reaper.watch({ pid: process.pid, graceMs: 1000, terminate: false })
for (const fd of held) closeSync(fd)
remove()
setImmediate(() => process.stdout.write(JSON.stringify(warned)))
`

t.test('without a descriptor for its pipe it logs a warning and does not throw', async (t) => {
  const script = `ulimit -n 64; exec ${process.execPath} --input-type=module -e "$PROBE"`
  const child = spawn('/usr/bin/env', ['-i', `PROBE=${PROBE}`, '/bin/sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  const [code] = (await once(child, 'close')) as [number]
  t.equal(code, 0)
  t.match(JSON.parse(out), [{ event: 'reaper-failed', why: /EMFILE/ }])
})

/** Watches process VICTIM, ends its own shell, and ends when another shell runs. */
const SURVIVOR = `
import { readdirSync, readFileSync } from 'node:fs'
import { createReaper } from '${REAPER.href}'
import { systemClock } from '${CLOCK.href}'
const clock = { ...systemClock, setTimer: (ms, fn) => systemClock.setTimer(0, fn) }
const warned = []
const shells = () => readdirSync('/proc').map(Number).filter((pid) => {
  try { return readFileSync('/proc/' + pid + '/stat', 'latin1').split(') ')[1]?.split(' ')[1] === String(process.pid) } catch { return false }
})
createReaper({ warn: (fields) => warned.push(fields) }, clock).watch({ pid: Number(process.env.VICTIM), graceMs: 0, terminate: false })
const [first] = shells()
process.kill(first, 'SIGKILL')
const poll = setInterval(() => {
  const [now] = shells().filter((pid) => pid !== first)
  if (now === undefined || warned.length === 0) return
  clearInterval(poll)
  process.stdout.write(JSON.stringify(warned))
  process.exitCode = 0
}, 5)
`

t.test('a shell that was killed is restarted and watches the same processes', async (t) => {
  const victim = spawn('/bin/sh', ['-c', 'read -r _'], { stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = once(victim, 'exit')
  const child = spawn(
    '/usr/bin/env',
    ['-i', `VICTIM=${victim.pid}`, process.execPath, '--input-type=module', '-e', SURVIVOR],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  await once(child, 'close')
  t.match(JSON.parse(out), [{ event: 'reaper-failed', why: /SIGKILL/, retryMs: 10_000 }])
  t.match(await ended, [null, 'SIGKILL'])
})
