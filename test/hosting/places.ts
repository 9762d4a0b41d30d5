// Runs one program in plain Node, in the three placements and under `byre run`. Its transcript in plain Node is the expected
// transcript everywhere else.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Placement, WorkerConfig } from '../../src/config/types.ts'
import { cleanNode } from '../helpers/clean-node.ts'
import { readLines } from '../helpers/events.ts'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd, HerdOptions, Owner } from '../helpers/herd.ts'

/** Where a worker runs; `run` is `byre run`. */
export type Place = Placement | 'run'
export const PLACES: readonly Place[] = ['shared', 'thread', 'process', 'run']
/** Places where the worker has the process or thread to itself. */
export const OWN_PLACES: readonly Place[] = ['thread', 'process', 'run']

/** The worker under test. */
export const SUBJECT = 'subject'

/** Another worker, in the shared loop, that prints a line every 20 ms. */
export const SIBLING = 'sibling'
const SIBLING_LINE = { worker: SIBLING, msg: 'sibling prints', stream: 'stdout' }
const SIBLING_SOURCE = `
export async function run(ctx) {
  ctx.every('20ms', () => console.log('sibling prints'))
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`

/** `say` writes the lines that are compared. After its body the program waits for its signal. */
const PREAMBLE = `
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
export async function run(ctx) {
  const say = (text) => ctx.log.info({ event: 'said' }, text)
  await body(ctx, say)
  ctx.log.info({ event: 'said-all' }, 'done')
  if (!ctx.signal.aborted) await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}
`

/** Source of a module whose run() executes `body`, which can use `ctx`, `say(text)` and `wait(ms)`. */
export function program(imports: string, body: string): string {
  return `${imports}\n${PREAMBLE}\nasync function body(ctx, say) {\n${body}\n}\n`
}

const PLAIN = `
const { run } = await import(process.argv[2])
const info = (fields, text) => console.log(JSON.stringify({ ...fields, text }))
setInterval(() => {}, 1e9)
await run({ name: 'subject', config: JSON.parse(process.argv[3]), log: { info }, signal: new AbortController().signal })
`

/** Hosts `source` as the worker `subject` in `place`, next to the sibling, except under `byre run`. */
export function host(
  t: Owner,
  place: Place,
  source: string,
  config: WorkerConfig = {},
  more: HerdOptions = {},
): Promise<Herd> {
  const subject: WorkerConfig = { restart: 'never', stopTimeout: '300ms', ...config }
  if (place === 'run')
    return startHerd(t, {
      ...more,
      run: SUBJECT,
      workers: { [SUBJECT]: source },
      config: { workers: { [SUBJECT]: subject } },
    })
  return startHerd(t, {
    ...more,
    workers: { [SUBJECT]: source, [SIBLING]: SIBLING_SOURCE },
    config: { workers: { [SUBJECT]: { ...subject, placement: place, after: [SIBLING] }, [SIBLING]: {} } },
  })
}

/** The lines that the worker said until it was done. If its run ended earlier, the last entry is `ended: ` and the reason. */
export async function transcript(herd: Herd): Promise<readonly string[]> {
  const last = await herd.line({ worker: SUBJECT, event: /^(said-all|exit)$/ })
  const said = herd.matching({ worker: SUBJECT, event: 'said' }).map((line) => String(line['msg']))
  return last['event'] === 'exit' ? [...said, `ended: ${String(last['msg'])}`] : said
}

/** The transcript of `source` in plain Node. */
export async function plainTranscript(
  t: Owner,
  source: string,
  config: unknown = {},
): Promise<readonly string[]> {
  const folder = herdFolder(t)
  const file = join(folder, 'workers', 'subject.mjs')
  mkdirSync(join(folder, 'workers'))
  writeFileSync(file, source)
  const args = ['--input-type=module', '-e', PLAIN, '-', file, JSON.stringify(config)]
  const child = cleanNode(args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = readLines(child.stdout!)
  const said: string[] = []
  for (;;) {
    const line = JSON.parse(await lines.next(/"event":"said/)) as { event: string; text: string }
    if (line.event === 'said-all') break
    said.push(line.text)
  }
  child.kill('SIGKILL')
  await lines.end()
  return said
}

/** Resolves when the sibling has printed three more lines; returns its state and counters. */
export async function siblingRuns(herd: Herd): Promise<object> {
  const from = herd.mark()
  for (let at = from, seen = 0; seen < 3; seen++) {
    await herd.line(SIBLING_LINE, at)
    at = herd.lines.indexOf(herd.matching(SIBLING_LINE, at)[0]!) + 1
  }
  const { state, restarts, failures } = await herd.worker(SIBLING)
  return { state, restarts, failures }
}
export const UNTOUCHED = { state: 'running', restarts: 0, failures: 0 }
