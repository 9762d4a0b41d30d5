// The shell that ends orphans is a help: where it cannot be started, the log says so and the herd goes on.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { leakGuard } from '../../helpers/leak-guard.ts'

leakGuard(t)

const REAPER = new URL('../../../src/supervisor/placement/reaper.js', import.meta.url)

/** Of a process that has no descriptor left: what its log was told. */
const PROBE = `
import { closeSync, openSync } from 'node:fs'
import { createReaper } from '${REAPER.href}'
const warned = []
const reaper = createReaper({ warn: (fields) => warned.push(fields) })
const held = []
try { for (;;) held.push(openSync('/dev/null')) } catch {}
closeSync(held.pop()) // for what watch() reads in /proc
const gone = reaper.watch(process.pid, 1000)
for (const fd of held) closeSync(fd)
gone()
setImmediate(() => process.stdout.write(JSON.stringify(warned)))
`

t.test('without a descriptor for its pipe it warns and throws nothing', async (t) => {
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
