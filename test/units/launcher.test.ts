// units/byre: finds its installation, gives node its flags, and is an init when it is process 1 of a container.
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { eventually, nextEvent, readLines } from '../helpers/events.ts'
import type { Lines } from '../helpers/events.ts'
import { childPids, leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

// An installation whose dist/bin.js tells what it was given and does what the tests ask.
const root = mkdtempSync(join(tmpdir(), 'byre unit ')) // with a blank, as a path may have
t.teardown(() => rmSync(root, { recursive: true, force: true }))
const launcher = join(root, 'units', 'byre')
for (const folder of ['units', 'dist', 'bin']) mkdirSync(join(root, folder))
copyFileSync(join(dirname(fileURLToPath(import.meta.url)), '../../../units/byre'), launcher)
chmodSync(launcher, 0o755)
writeFileSync(join(root, 'package.json'), '{"type":"module"}')
writeFileSync(
  join(root, 'dist', 'bin.js'),
  `import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
const say = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
const states = () => readdirSync('/proc').filter((n) => /^\\d+$/.test(n)).map((pid) => {
  try {
    const [, state, ppid] = /\\) (\\S) (\\d+)/.exec(readFileSync('/proc/' + pid + '/stat', 'latin1'))
    return { pid: Number(pid), state, ppid: Number(ppid) }
  } catch { return { pid: 0, state: 'gone', ppid: 0 } }
})
const [, , , what, arg] = process.argv
const { MALLOC_MMAP_THRESHOLD_: malloc, BYRE_MALLOC: own } = process.env
say({ argv: process.argv.slice(2), execArgv: process.execArgv, malloc, own, pid: process.pid, ppid: process.ppid })
if (what === 'exit') process.exit(Number(arg))
if (what === 'die') process.kill(process.pid, arg)
if (what === 'echo') process.stdin.on('data', (d) => say({ read: String(d) })).on('end', () => process.exit(0))
if (what === 'signals') {
  let count = 0
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'])
    process.on(signal, () => { say({ signal }); if (++count === Number(arg)) process.exit(7) })
  setInterval(() => {}, 1000)
  say({ ready: true })
}
if (what === 'orphan') {
  // Three grandchildren whose parent goes away at once; each ends when its input does, which is ours to end.
  const parent = spawn('sh', ['-c', 'for i in 1 2 3; do cat <&3 & done'], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] })
  parent.on('exit', () => {
    say({ adopted: states().filter((p) => p.ppid === 1 && p.pid !== process.pid).length })
    parent.stdio[3].destroy()
    const deadline = Date.now() + Number(arg)
    const look = () => {
      const left = states().filter((p) => p.ppid === 1 && p.pid !== process.pid && p.state !== 'gone')
      if (left.length > 0 && Date.now() < deadline) return setTimeout(look, 10)
      say({ left: left.map((p) => p.state) })
      process.exit(0)
    }
    look()
  })
}
`,
)

interface Launched {
  readonly stdout: Lines
  readonly pid: number
  readonly stdin: NodeJS.WritableStream
  readonly end: Promise<{ code: number | null; signal: string | null }>
}

function launch(command: readonly string[], env: Record<string, string> = {}): Launched {
  const vars = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const path = `PATH=${dirname(process.execPath)}:/usr/bin:/bin:/usr/sbin:/sbin`
  const child = spawn('/usr/bin/env', ['-i', path, ...vars, ...command], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.on('error', () => {})
  const end = nextEvent(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as string | null,
  }))
  return { stdout: readLines(child.stdout), pid: child.pid!, stdin: child.stdin, end }
}

type Told = {
  argv: string[]
  execArgv: string[]
  malloc?: string
  own?: string
  pid: number
  ppid: number
}
const told = async (launched: Launched): Promise<Told> =>
  JSON.parse(await launched.stdout.next(/argv/)) as Told

t.test('it runs dist/bin.js of the installation it belongs to, through any chain of links', async (t) => {
  symlinkSync('../units/byre', join(root, 'bin', 'first'))
  symlinkSync(join(root, 'bin', 'first'), join(root, 'bin', 'second'))
  for (const name of ['units/byre', 'bin/first', 'bin/second']) {
    const launched = launch([join(root, name), 'status', 'exit', '0', 'a b', '*'])
    t.same((await told(launched)).argv, ['status', 'exit', '0', 'a b', '*'], name)
    t.equal((await launched.end).code, 0)
  }
})

t.test(
  'supervise and run get the measured V8 flags, BYRE_NODE_FLAGS replaces them, other commands get none',
  async (t) => {
    const table: [string, Record<string, string>, string[]][] = [
      ['supervise', {}, ['--max-semi-space-size=1']],
      ['run', {}, ['--max-semi-space-size=1']],
      ['status', {}, []],
      ['supervise', { BYRE_NODE_FLAGS: '' }, []],
      [
        'supervise',
        { BYRE_NODE_FLAGS: '--no-warnings --no-deprecation' },
        ['--no-warnings', '--no-deprecation'],
      ],
      ['status', { BYRE_NODE_FLAGS: '--no-warnings' }, []],
    ]
    for (const [command, env, expected] of table) {
      const launched = launch([launcher, command, 'exit', '0'], env)
      t.same((await told(launched)).execArgv, expected, `${command} ${JSON.stringify(env)}`)
      await launched.end
    }
  },
)

t.test(
  'supervise and run get the measured malloc setting, marked as byre own, unless malloc is configured already',
  async (t) => {
    const table: [string, Record<string, string>, Pick<Told, 'malloc' | 'own'>][] = [
      ['supervise', {}, { malloc: '32768', own: '1' }],
      ['run', {}, { malloc: '32768', own: '1' }],
      ['status', {}, {}],
      ['supervise', { MALLOC_MMAP_THRESHOLD_: '1000000' }, { malloc: '1000000' }],
      ['supervise', { MALLOC_MMAP_THRESHOLD_: '' }, { malloc: '' }],
      ['supervise', { GLIBC_TUNABLES: 'glibc.malloc.arena_max=2' }, {}],
    ]
    for (const [command, env, expected] of table) {
      const launched = launch([launcher, command, 'exit', '0'], env)
      const { malloc, own } = await told(launched)
      t.strictSame({ malloc, own }, { malloc: undefined, own: undefined, ...expected }, JSON.stringify(env))
      await launched.end
    }
  },
)

t.test('it becomes node: same pid, exit status and death by signal as node gives them', async (t) => {
  const launched = launch([launcher, 'supervise', 'exit', '78'])
  t.equal((await told(launched)).pid, launched.pid)
  t.same(await launched.end, { code: 78, signal: null })
  t.same(await launch([launcher, 'supervise', 'die', 'SIGTERM']).end, { code: null, signal: 'SIGTERM' })
})

const unshare = ['unshare', '--pid', '--fork', '--mount-proc', '--']
const cannot =
  spawnSync('/usr/bin/env', ['-i', 'PATH=/usr/bin:/bin', ...unshare, 'true']).status === 0
    ? undefined
    : 'cannot make a PID namespace here (needs root and util-linux)'

t.test('as process 1 of a container', { skip: cannot ?? false }, async (t) => {
  /** The launcher as process 1; `init` is its pid as seen from here. */
  async function contained(...args: string[]): Promise<Launched & { init: number }> {
    const launched = launch([...unshare, launcher, ...args])
    const init = await eventually('process 1', () => childPids(launched.pid)[0])
    return { ...launched, init }
  }

  t.test('node runs beside it, with its flags, arguments and input', async (t) => {
    const box = await contained('supervise', 'echo')
    t.match(await told(box), { argv: ['supervise', 'echo'], execArgv: ['--max-semi-space-size=1'], ppid: 1 })
    box.stdin.write('hello')
    t.equal(await box.stdout.next(/read/), '{"read":"hello"}')
    box.stdin.end()
    t.same(await box.end, { code: 0, signal: null })
  })

  t.test('orphans are adopted and reaped', async (t) => {
    const box = await contained('supervise', 'orphan', '10000')
    t.equal(await box.stdout.next(/adopted/), '{"adopted":3}')
    t.equal(await box.stdout.next(/left/), '{"left":[]}')
    t.equal((await box.end).code, 0)
  })

  t.test('node as process 1 itself leaves them as zombies, which is why the launcher stays', async (t) => {
    const box = launch([...unshare, 'node', join(root, 'dist', 'bin.js'), 'supervise', 'orphan', '300'])
    t.equal(await box.stdout.next(/left/), '{"left":["Z","Z","Z"]}')
    await box.end
  })

  t.test('every signal is passed on, the second one too, and the exit status is that of node', async (t) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
      const box = await contained('supervise', 'signals', '2')
      await box.stdout.next(/ready/)
      for (let i = 0; i < 2; i++) {
        process.kill(box.init, signal)
        t.equal(await box.stdout.next(/signal/), `{"signal":"${signal}"}`)
      }
      t.same(await box.end, { code: 7, signal: null }, signal)
    }
  })

  t.test('exit statuses come through, a death by signal as 128+n', async (t) => {
    for (const code of [0, 1, 70, 78, 127]) {
      const box = await contained('supervise', 'exit', String(code))
      t.equal((await box.end).code, code)
    }
    t.equal((await (await contained('supervise', 'die', 'SIGKILL')).end).code, 137)
  })
})
