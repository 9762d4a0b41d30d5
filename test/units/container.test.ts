// A real herd as process 1 of a container: the launcher, byre and its workers in a PID namespace of their own.
import { spawn, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { eventually, nextEvent, readLines } from '../helpers/events.ts'
import type { Lines } from '../helpers/events.ts'
import { childPids, leakGuard } from '../helpers/leak-guard.ts'
import { socketFolder } from '../control/raw-client.ts'

leakGuard(t)

const UNSHARE = ['unshare', '--pid', '--fork', '--mount-proc', '--']
const clean = (...env: string[]): string[] => [
  '-i',
  `PATH=${dirname(process.execPath)}:/usr/bin:/bin:/usr/sbin:/sbin`,
  ...env,
]
const cannot =
  spawnSync('/usr/bin/env', [...clean(), ...UNSHARE, 'true']).status === 0
    ? false
    : 'cannot make a PID namespace here (needs root and util-linux)'

// An installation as npm lays it out, around the code under test.
const here = dirname(fileURLToPath(import.meta.url))
const root = socketFolder(t)
mkdirSync(join(root, 'units'))
copyFileSync(join(here, '../../../units/byre'), join(root, 'units', 'byre'))
symlinkSync(join(here, '../../src'), join(root, 'dist'))
writeFileSync(
  join(root, 'orphans.js'),
  `import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
// 'sh' leaves two children behind and ends; who adopts them must reap them.
export const run = async ({ log, signal }) => {
  const sh = spawn('sh', ['-c', 'true & true & exec true'])
  await new Promise((resolve) => sh.on('close', resolve))
  const stat = (pid) => { try { return readFileSync('/proc/' + pid + '/stat', 'latin1') } catch { return '' } }
  let left
  do left = readdirSync('/proc').filter((pid) => /^\\d+$/.test(pid) && / Z 1 /.test(stat(pid)))
  while (left.length > 0 && await new Promise((resolve) => setTimeout(resolve, 10, true)))
  log.info('no zombie is left')
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
}`,
)
writeFileSync(join(root, 'deaf.js'), 'export const run = () => new Promise(() => {})')

interface Box {
  readonly stdout: Lines
  /** Process 1 as seen from here. */
  readonly init: number
  readonly end: Promise<unknown[]>
}

async function supervise(worker: object): Promise<Box> {
  writeFileSync(join(root, 'byre.config.json'), JSON.stringify({ name: 'box', workers: { worker } }))
  const env = clean(`XDG_RUNTIME_DIR=${root}`, `XDG_STATE_HOME=${root}`)
  const command = [join(root, 'units', 'byre'), 'supervise', '--log-format', 'json']
  const child = spawn('/usr/bin/env', [...env, ...UNSHARE, ...command], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const end = nextEvent(child, 'exit')
  const stdout = readLines(child.stdout)
  const init = await eventually('process 1', () => childPids(child.pid!)[0])
  await stdout.next('"ready"')
  return { stdout, init, end }
}

t.test('a herd as process 1', { skip: cannot }, async (t) => {
  t.test('a graceful stop is exit 0 and leaves no socket; orphans of workers are reaped', async (t) => {
    const box = await supervise({ module: './orphans.js' })
    await box.stdout.next('no zombie is left')
    t.ok(existsSync(join(root, 'byre', 'box', '_all.sock')))
    process.kill(box.init, 'SIGTERM')
    t.same(await box.end, [0, null])
    t.notOk(existsSync(join(root, 'byre', 'box', '_all.sock')))
  })

  t.test('the second signal ends it at once with 128+n, whatever the workers do', async (t) => {
    const box = await supervise({ module: './deaf.js', stopTimeout: '1h' })
    process.kill(box.init, 'SIGTERM')
    await box.stdout.next('stopping')
    process.kill(box.init, 'SIGTERM')
    t.same(await box.end, [143, null])
  })
})
