// The projection of a group ends whatever the modules do while they load, and reports why there is no result.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { projectGroup } from '../../src/systemd/projection.ts'
import type { Projection } from '../../src/systemd/projection.ts'
import { within } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { resolvedHerd, resolvedWorker } from '../helpers/resolved.ts'

leakGuard(t)

const BEFORE = { pssBytes: 60_000_000, anonBytes: 20_000_000 }

/** The projection of one worker with a module of the given text, and the folder of the module. */
async function project(
  t: Test,
  text: string,
): Promise<{ folder: string; projected: Projection | { readonly unavailable: string } }> {
  const folder = mkdtempSync(join(tmpdir(), 'byre-projection-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'worker.mjs')
  writeFileSync(path, text)
  const workers = [resolvedWorker('w', { source: { kind: 'module', path } })]
  const request = { herd: resolvedHerd(workers, { folder }), workers, mainPids: [0, process.pid] }
  const before = BEFORE as Parameters<typeof projectGroup>[0]['before']
  return { folder, projected: await within(projectGroup({ ...request, before }), 'the projection') }
}

t.test('modules that load are projected', async (t) => {
  const { projected } = await project(t, 'export default async () => {}')
  t.match(projected, { modules: 1, anonBytes: Number, pssBytes: Number })
})

t.test('a module that writes to the result descriptor gives no projection, with the reason', async (t) => {
  const { projected } = await project(t, "import { writeSync } from 'node:fs'; writeSync(3, '{')")
  t.match(projected, { unavailable: /wrote an invalid result; it ended with 0$/ })
})

t.test('a result truncated by a kill gives no projection, with the reason', async (t) => {
  const cut =
    "import { writeSync } from 'node:fs'; writeSync(3, '{\"anon'); process.kill(process.pid, 'SIGKILL')"
  t.match((await project(t, cut)).projected, {
    unavailable: /wrote an invalid result; it ended with SIGKILL$/,
  })
  t.match(
    (await project(t, "import { writeSync } from 'node:fs'; writeSync(3, 'null'); process.exit(0)"))
      .projected,
    {
      unavailable: /wrote an invalid result/,
    },
  )
})

t.test("a module's child process that keeps stderr open does not delay the result", async (t) => {
  const { folder, projected } = await project(
    t,
    `import { spawn } from 'node:child_process'
     import { writeFileSync } from 'node:fs'
     const child = spawn('sleep', ['600'], { stdio: ['ignore', 'ignore', 'inherit'], detached: true })
     child.unref()
     writeFileSync('pid', String(child.pid))`,
  )
  process.kill(Number(readFileSync(join(folder, 'pid'), 'utf8')), 'SIGKILL')
  t.match(projected, { modules: 1 })
})

t.test('the reason is the end of what the module wrote to stderr, whatever its length', async (t) => {
  const { projected } = await project(
    t,
    `import { writeSync } from 'node:fs'
     writeSync(2, 'x'.repeat(100_000))
     writeSync(2, '\\nthe reason' + 'y'.repeat(5000))
     process.exit(3)`,
  )
  if (!('unavailable' in projected)) throw new Error('there is a projection')
  t.match(projected.unavailable, /^the modules were not loaded: it ended with 3: y+$/)
  t.ok(projected.unavailable.length < 4200, `${projected.unavailable.length} characters`)
})
