// The supervisor is killed with SIGKILL: no process of a worker outlives its stopTimeout, whatever its loop does, and one
// that notices, or a script that is asked, still stops in order.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const HELD = `
export async function run(ctx) {
  setTimeout(() => { console.log('held'); setTimeout(() => { for (;;); }, 50) }, 50)
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`
const ORDERLY = `
import { writeFileSync } from 'node:fs'
export async function run(ctx) {
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  await new Promise((resolve) => setTimeout(resolve, 300))
  writeFileSync(ctx.config.file, 'stopped in order')
}`

function runs(pid: number): boolean {
  try {
    // Nobody may wait for an orphan here: a zombie has ended.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

t.test('a held loop ends with its supervisor, and one that notices stops in order', async (t) => {
  const herd = await startHerd(t, {
    workers: { held: HELD, orderly: ORDERLY },
    config: {
      workers: {
        held: { placement: 'process', stopTimeout: '1s', stall: { detect: false } },
        orderly: { placement: 'process', stopTimeout: '5s', config: { file: 'orderly.txt' } },
      },
    },
  })
  await herd.line({ msg: 'held' })
  const { workers } = await herd.status()
  const pids = workers.map(({ pid }) => pid as number)
  t.ok(pids.every(runs))
  t.ok(reapers(herd.pid) === 1, 'one shell for both')
  await herd.kill()
  await eventually('the end of both', () => (pids.some(runs) ? undefined : true))
  t.ok(existsSync(join(herd.folder, 'orderly.txt')))
})

/** Writes its name once it is asked to end. */
const ASKED = `
const { writeFileSync } = require('node:fs')
process.on('SIGTERM', () => setTimeout(() => { writeFileSync(process.argv[2], 'stopped in order'); process.exit() }, 300))
console.log('up')
setInterval(() => {}, 1e6)`
/** Does not end when asked. */
const DEAF = `
process.on('SIGTERM', () => {})
console.log('up')
setTimeout(() => { for (;;); }, 50)`

t.test('a script is asked to end when its supervisor is gone, and ended at its stopTimeout', async (t) => {
  const script = (file: string, more: object): never =>
    ({ script: `./${file}`, module: undefined, placement: 'process', stopTimeout: '5s', ...more }) as never
  const herd = await startHerd(t, {
    files: { 'asked.cjs': ASKED, 'deaf.cjs': DEAF },
    config: {
      workers: {
        asked: script('asked.cjs', { args: ['asked.txt'] }),
        inside: script('asked.cjs', { args: ['inside.txt'], inside: true }),
        deaf: script('deaf.cjs', { stopTimeout: '1s' }),
      },
    },
  })
  for (const worker of ['asked', 'inside', 'deaf']) await herd.line({ worker, msg: 'up' })
  const pids = (await herd.status()).workers.map(({ pid }) => pid as number)
  t.ok(pids.every(runs))
  await herd.kill()
  await eventually('the end of all', () => (pids.some(runs) ? undefined : true))
  for (const name of ['asked.txt', 'inside.txt']) t.ok(existsSync(join(herd.folder, name)), name)
})

/** Children of `pid` that are shells. */
function reapers(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  return children.filter((child) => cmdline(child).startsWith('/bin/sh\0')).length
}

function cmdline(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
  } catch {
    return ''
  }
}
