// The memory of an idle bus, measured in separate processes on the built package: a thousand dormant
// workers have taps, and most subscriptions of a herd wait for messages.
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runCleanNode } from '../helpers/clean-node.ts'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..')
const BOUNDS = { 'tap-bytes': 300, 'waiting-bytes': 1536, 'scope-bytes': 512 }

for (const [scenario, bound] of Object.entries(BOUNDS))
  t.test(`${scenario.replace('-bytes', '')}: less than ${bound} bytes of heap each`, async (t) => {
    leakGuard(t)
    const child = resolve(root, 'scripts/benches/hosts/bus-child.mjs')
    const { code, stdout, stderr } = await runCleanNode(['--expose-gc', child, scenario])
    t.equal(code, 0, stderr)
    const { heapBytes: bytes } = JSON.parse(stdout) as { heapBytes: number }
    t.comment(`${bytes.toFixed(0)} bytes`)
    t.ok(bytes > 0 && bytes < bound, `${bytes.toFixed(0)} bytes`)
  })

t.test(
  'importing the embedded bus loads nothing of node: but async_hooks and util/types, and leaves no handle',
  async (t) => {
    const script = `
    await import(process.argv[2])
    const before = new Set(process.moduleLoadList)
    await import(process.argv[1])
    const loaded = process.moduleLoadList.filter((m) => !before.has(m) && m.startsWith('NativeModule '))
    console.log(JSON.stringify({ loaded, open: process.getActiveResourcesInfo().filter((r) => !/Wrap|FSReq|CloseReq/.test(r)) }))`
    const built = resolve(root, 'build/src/bus/embedded.js')
    // the loader's own first use is not the bus's
    const neighbour = resolve(root, 'build/src/base/bytes.js')
    const { stdout } = await runCleanNode(['--input-type=module', '-e', script, built, neighbour])
    const { loaded, open } = JSON.parse(stdout) as { loaded: string[]; open: string[] }
    t.same(
      loaded.filter((m) => !/^NativeModule ((internal\/)?async_|util\/types$)/.test(m)),
      [],
    )
    t.same(open, [])
  },
)
