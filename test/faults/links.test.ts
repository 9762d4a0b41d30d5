// Workers whose module the config names through a symbolic link (`current -> releases/1`): frames carry the file, and the
// worker is named by its stack all the same.
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { runCleanNode } from '../helpers/clean-node.ts'
import { BIN, herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

/** Calls back in the context of whoever calls it. */
const CLIENT = `const waiting = []
export const ask = (fn) => waiting.push(fn)
export const answer = () => { for (const fn of waiting.splice(0)) fn() }`
const CALLER = `import { answer } from '../lib/client.mjs'
export const run = (ctx) => new Promise((resolve) => {
  const timer = setInterval(answer, 10)
  ctx.signal.addEventListener('abort', () => { clearInterval(timer); resolve() })
})`
/** What it does is called back by the caller's timer. */
const asker = (body: string): string => `import { ask } from '../../lib/client.mjs'
function burn(ms) { for (const end = performance.now() + ms; performance.now() < end; ) ; }
export const run = (ctx) => new Promise((resolve) => {
  ctx.signal.addEventListener('abort', resolve)
  ask(() => { ${body} })
})`

const LINKED = {
  thrower: asker(`throw new Error('called back')`),
  exiter: asker(`process.exit(3)`),
  staller: asker(`burn(2500)`),
  burner: asker(`const again = () => { burn(10); ask(again) }; again()`),
}

/** All but the caller lie in releases/1, and the config says current/; each is loaded when it is woken. */
async function startLinked(t: Test): Promise<Herd> {
  const folder = herdFolder(t)
  for (const [name, text] of Object.entries(LINKED)) {
    mkdirSync(join(folder, 'releases/1'), { recursive: true })
    writeFileSync(join(folder, `releases/1/${name}.mjs`), text)
  }
  symlinkSync('releases/1', join(folder, 'current'))
  const linked = Object.keys(LINKED).map((name) => [
    name,
    { module: `./current/${name}.mjs`, activation: { topics: [`go.${name}`] }, restart: 'never' as const },
  ])
  const herd = await startHerd(t, {
    folder,
    files: { 'lib/client.mjs': CLIENT },
    workers: { caller: CALLER },
    config: { workers: Object.fromEntries(linked) },
    args: ['--log-level', 'debug'],
  })
  await herd.line({ event: 'stall-watch' })
  return herd
}

async function unharmed(t: Test, herd: Herd): Promise<void> {
  t.match(await herd.worker('caller'), { state: 'running', failures: 0, restarts: 0, stalls: undefined })
}

t.test('a stray error and an exit are charged to the linked worker whose code it was', async (t) => {
  const herd = await startLinked(t)
  await herd.act('thrower', 'wake')
  t.match(await herd.line({ event: 'exit', worker: 'thrower' }), { verdict: 'threw-stray' })
  await herd.act('exiter', 'wake')
  t.match(await herd.line({ event: 'exit', worker: 'exiter' }), { verdict: 'failed' })
  await unharmed(t, herd)
})

t.test('a stall names the linked worker by its stack', async (t) => {
  const herd = await startLinked(t)
  await herd.act('staller', 'wake')
  t.match(await herd.line({ event: 'stall' }), {
    worker: 'staller',
    by: 'stack',
    file: /releases\/1\/staller\.mjs$/,
  })
  await herd.line({ event: 'stall-over' })
  await unharmed(t, herd)
})

t.test('a profile charges the linked worker, also after the link was switched', async (t) => {
  const herd = await startLinked(t)
  await herd.act('burner', 'wake')
  await herd.untilWorker('burner', (worker) => worker.state === 'running')
  mkdirSync(join(herd.folder, 'releases/2'))
  symlinkSync('releases/2', join(herd.folder, 'next'))
  renameSync(join(herd.folder, 'next'), join(herd.folder, 'current'))
  const profile = await runCleanNode(
    [BIN, 'profile', 'burner', '--cpu', '500ms', '--json', '--socket', herd.socketPath],
    { cwd: herd.folder },
  )
  t.equal(profile.code, 0, profile.stderr)
  t.match(JSON.parse(profile.stdout), { workers: [{ worker: 'burner' }] })
  await unharmed(t, herd)
})
