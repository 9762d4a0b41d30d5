// Control commands with a config that prints output or that cannot be loaded.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { startControlServer } from '../../src/control/server.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import type { CleanResult } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { fakeTarget, memoryLog, supervisorStatus, worker } from '../control/fake-target.ts'
import type { FakeTarget } from '../control/fake-target.ts'
import { socketFolder } from '../control/raw-client.ts'

leakGuard(t)

const bin = join(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')

interface Setup {
  readonly byre: (...args: string[]) => Promise<CleanResult>
  readonly host: (herd: string) => Promise<FakeTarget>
}

function setUp(t: Test, config: string): Setup {
  const runtime = socketFolder(t)
  const cwd = join(runtime, 'project')
  mkdirSync(cwd)
  writeFileSync(join(cwd, 'byre.config.mjs'), config)
  return {
    byre: (...args) => runCleanNode([bin, ...args], { cwd, env: { XDG_RUNTIME_DIR: runtime } }),
    host: async (herd) => {
      const target = fakeTarget()
      target.current = supervisorStatus([worker('mail')], { herd, group: '_all' })
      const socketPath = join(runtime, 'byre', herd, '_all.sock')
      const server = await startControlServer({ target, socketPath, log: memoryLog() })
      t.teardown(() => server.close())
      return target
    },
  }
}

t.test('the output of a config does not mix with the result of a command', async (t) => {
  const { byre, host } = setUp(
    t,
    `console.log('a banner'); process.stdout.write('raw\\n'); console.error('an error')
     export default { name: 'shop', workers: { w: { module: './byre.config.mjs' } } }`,
  )
  const target = await host('shop')
  const { code, stdout, stderr } = await byre('status', '--json')
  t.equal(code, 0)
  t.same(JSON.parse(stdout), { version: 1, herd: 'shop', supervisors: [target.current], unreachable: [] })
  t.equal(stderr, 'a banner\nraw\nan error\n')
  const explained = await byre('supervise', '--explain')
  t.notMatch(explained.stdout, /a banner|raw/)
  t.match(explained.stderr, 'a banner\nraw\nan error\n')
})

for (const [what, config] of [
  ['has a syntax error', 'syntax error here'],
  ['throws', `throw new Error('half done')`],
  ['has no name yet', 'export default {}'],
] as const)
  t.test(`the command goes to the only running herd while the config ${what}`, async (t) => {
    const { byre, host } = setUp(t, config)
    const none = await byre('status')
    t.equal(none.code, 78)
    t.match(none.stderr, /no herd runs in .*Pass --socket/)
    await host('shop')
    const { code, stdout, stderr } = await byre('status', '--json')
    t.equal(code, 0)
    t.match(JSON.parse(stdout), { herd: 'shop' })
    t.match(
      stderr,
      /Cannot (load|determine).*config[^]*byre: Using herd 'shop', the only one that runs here\.\n$/,
    )
    t.equal((await byre('stop', 'mail')).code, 0)
    await host('other')
    const two = await byre('stop', 'mail')
    t.equal(two.code, 78)
    t.match(two.stderr, /the herd is unknown: .* has (other, shop|shop, other)\. Pass --socket/)
  })
