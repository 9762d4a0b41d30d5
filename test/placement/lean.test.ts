// `lean: true` gives a process of its own the supervisor's flags of node and malloc setting; without it there are none, and a
// module has those that decide what its code is.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const SEE = `
import { readFileSync } from 'node:fs'
const { MALLOC_MMAP_THRESHOLD_: malloc = null, BYRE_MALLOC: mark = null } = process.env
const started = readFileSync('/proc/self/environ', 'utf8').includes('MALLOC_MMAP_THRESHOLD_=32768')
const seen = JSON.stringify({ execArgv: process.execArgv, malloc, mark, started })`
const SCRIPT = `${SEE}\nconsole.log(seen)`
const MODULE = `${SEE}\nexport async function run() { console.log(seen) }`

t.test('who gets the flags and the malloc setting of the supervisor', async (t) => {
  const folder = herdFolder(t)
  const preload = join(folder, 'preload.cjs')
  const worker = { placement: 'process', restart: 'never' } as const
  const script = { ...worker, script: './s.mjs', module: undefined } as never as typeof worker
  const module = { ...worker, module: './m.mjs' }
  const herd = await startHerd(t, {
    folder,
    files: { 's.mjs': SCRIPT, 'm.mjs': MODULE, 'preload.cjs': '' },
    nodeArgs: ['--max-semi-space-size=1', '--require', preload, '--expose-gc'],
    env: { BYRE_MALLOC: '1', MALLOC_MMAP_THRESHOLD_: '32768' },
    config: {
      workers: {
        script,
        leanScript: { ...script, lean: true },
        module,
        leanModule: { ...module, lean: true },
        limited: { ...script, lean: true, memoryMax: '64MiB' },
      },
    },
  })
  const all = ['--max-semi-space-size=1', '--require', preload]
  const rows: [worker: string, execArgv: string[], malloc: string | null, started: boolean][] = [
    ['script', [], null, false],
    ['leanScript', all, '32768', true],
    ['module', ['--require', preload], null, false],
    ['leanModule', all, null, true], // byre's code takes it out again
    ['limited', [...all, '--max-old-space-size=64'], '32768', true],
  ]
  for (const [worker, execArgv, malloc, started] of rows) {
    const { msg } = await herd.line({ worker, stream: 'stdout' })
    t.same(JSON.parse(String(msg)), { execArgv, malloc, mark: null, started }, worker)
  }
  const environment = readFileSync(`/proc/${herd.pid}/environ`, 'utf8')
  t.match(environment, /BYRE_MALLOC=1/)
  t.same(await herd.stop(), { code: 0, signal: null })
})
