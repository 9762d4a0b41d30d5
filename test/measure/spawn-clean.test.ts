import t from 'tap'
import { CLEAN_PATH, spawnClean } from '../../src/measure/spawn-clean.ts'
import { nextEvent, readLines } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

t.test('the child has the given environment, this cwd, and the pid of its spawn', async (t) => {
  process.env['NODE_OPTIONS'] = '--no-deprecation'
  t.teardown(() => delete process.env['NODE_OPTIONS'])
  const script = 'console.log(JSON.stringify([process.env, process.execArgv, process.cwd(), process.pid]))'
  const child = spawnClean([process.execPath, '-e', script], {
    env: { A: 'x=y z' },
    cwd: '/',
    prefix: ['nice'],
  })
  const closed = nextEvent(child, 'close')
  const line = await readLines(child.stdout!).next()
  t.same(JSON.parse(line), [{ A: 'x=y z', PATH: CLEAN_PATH }, ['-e', script], '/', child.pid])
  await closed
})

t.test('PATH may be replaced', async (t) => {
  const child = spawnClean(['/usr/bin/env'], { env: { PATH: '/nowhere' } })
  const lines = readLines(child.stdout!)
  t.same(await lines.end(), ['PATH=/nowhere'])
})

t.test('a detached child leads a new session', async (t) => {
  const child = spawnClean(['/bin/sh', '-c', 'cut -d" " -f6 /proc/$$/stat'], { detached: true })
  t.equal(await readLines(child.stdout!).next(), String(child.pid))
  await nextEvent(child, 'close')
})

t.test('a missing program exits 127, one without permission 126', async (t) => {
  for (const [program, code] of [
    ['/no/such/program', 127],
    ['/etc/passwd', 126],
  ] as const) {
    // prettier-ignore
    const child = spawnClean([program])
    const stderr = readLines(child.stderr!)
    const [status] = await nextEvent(child, 'close')
    t.equal(status, code)
    t.match(stderr.all.join(), program)
  }
})

t.test('a program that env would parse as an option or a variable is rejected', async (t) => {
  const rows = [
    [[], {}, /got ''/],
    [['./a=b'], {}, /got '\.\/a=b'/],
    [['-S', 'x'], {}, /got '-S'/],
    [['node'], { '-u': 'x' }, /got '-u'/],
    [['node'], { 'A=B': 'x' }, /got 'A=B'/],
    [['node'], { '': 'x' }, /got ''/],
  ] as const
  for (const [command, env, message] of rows)
    t.throws(() => spawnClean(command, { env: env as Record<string, string> }), {
      code: 'BYRE_ARGUMENT_INVALID',
      message,
    })
})
