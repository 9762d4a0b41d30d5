// `status` and `restart` say when the code on disk is another than the one that runs, however it was put there.
import {
  cpSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 4

const ENTRY = `import './lib/part.mjs'
export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
`
const LONG_AGO = new Date('2020-01-01T00:00:00Z')

function release(folder: string, name: string): string {
  const path = join(folder, 'releases', name)
  mkdirSync(join(path, 'lib'), { recursive: true })
  for (const file of ['w.mjs', 'other.mjs']) writeFileSync(join(path, file), ENTRY)
  writeFileSync(join(path, 'lib/part.mjs'), `export const part = '${name}'`)
  for (const file of ['w.mjs', 'other.mjs', 'lib/part.mjs']) utimesSync(join(path, file), LONG_AGO, LONG_AGO)
  return path
}

/** `current` leads to release 1; release 2 lies ready, with the same times. */
async function deployed(t: Test): Promise<Herd> {
  const folder = herdFolder(t)
  release(folder, '1')
  release(folder, '2')
  symlinkSync('releases/1', join(folder, 'current'))
  return startHerd(t, {
    folder,
    config: {
      workers: {
        w: { module: './current/w.mjs' },
        other: { module: './releases/1/other.mjs' },
        late: { module: './current/other.mjs', activation: { topics: ['go'] } },
        apart: { module: './current/w.mjs', placement: 'process' },
      },
    },
  })
}

function switchTo(folder: string, name: string): void {
  symlinkSync(`releases/${name}`, join(folder, 'next'))
  renameSync(join(folder, 'next'), join(folder, 'current'))
}

async function changed(herd: Herd): Promise<string[]> {
  return (await herd.status()).workers.filter((worker) => worker.codeChanged === true).map(({ name }) => name)
}

t.test(
  'a release that was switched by its link has changed; a process of its own starts with it',
  async (t) => {
    const herd = await deployed(t)
    switchTo(herd.folder, '2')
    t.same(await changed(herd), ['w', 'apart'], 'not who lives elsewhere, nor who is not loaded')
    t.match(await herd.act('w', 'restart'), { body: { warning: /files have changed/ } })
    t.match(await herd.act('apart', 'restart'), { body: { warning: undefined } })
    await herd.untilWorker(
      'apart',
      (worker) => worker.codeChanged === undefined && worker.state === 'running',
    )
    await herd.act('late', 'wake')
    // Node keeps where a link led first, so it is loaded from the old release.
    await herd.untilWorker('late', (worker) => worker.codeChanged === true)
  },
)

const DEPLOYS: readonly (readonly [string, (file: string, from: string) => void])[] = [
  ['cp -p', (file, from) => cpSync(from, file, { preserveTimestamps: true })],
  [
    'tar, rsync -t: a new file with the old time',
    (file, from) => {
      cpSync(from, `${file}.new`, { preserveTimestamps: true })
      renameSync(`${file}.new`, file)
    },
  ],
  [
    'a hard link',
    (file, from) => {
      rmSync(file)
      linkSync(from, file)
    },
  ],
  ['a time from before', (file) => utimesSync(file, 1, 1)],
]
for (const [how, deploy] of DEPLOYS)
  t.test(`a file deployed with ${how} has changed for all who reach it`, async (t) => {
    const herd = await deployed(t)
    const from = join(herd.folder, 'releases/2/lib/part.mjs')
    deploy(join(herd.folder, 'releases/1/lib/part.mjs'), from)
    t.same(await changed(herd), ['w', 'other', 'apart'])
  })

t.test('what nobody touched has not changed, however new it is; what is gone has', async (t) => {
  const herd = await deployed(t)
  writeFileSync(join(herd.folder, 'releases/1/another.mjs'), '')
  rmSync(join(herd.folder, 'releases/1/w.mjs'))
  t.same(await changed(herd), ['w', 'apart'])
})

t.test('a module mended between two loads has not changed since', async (t) => {
  const herd = await startHerd(t, {
    workers: { w: `export const run = () => {}\nthrow new Error('broken')` },
    config: { workers: { w: { activation: { topics: ['go'] }, backoff: { first: '300ms' } } } },
  })
  await herd.act('w', 'wake')
  await herd.line({ worker: 'w', event: 'exit' })
  writeFileSync(
    join(herd.folder, 'workers/w.mjs'),
    `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`,
  )
  t.notOk((await herd.untilWorker('w', (worker) => worker.state === 'running')).codeChanged)
})
