// Which files pass on plain Node, and how long they take: found once per Node version and kept beside the sources.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runPlain, runPlainThreads } from './plain.mjs'
import { pool } from './processes.mjs'

/** A file counts only if it passes this often: some pass by chance. */
const PLAIN_RUNS = 2
const SAVE_EVERY = 50
const THREAD_BATCH = 20

/** Both baselines in one; where both know a file, the entry with more runs wins, and of equal ones the second. Pure. @public (tests import it) */
export function mergeBaselines(first, second) {
  const files = { ...first.files }
  for (const [file, entry] of Object.entries(second.files))
    if (runsOf(entry) >= runsOf(files[file])) files[file] = entry
  return { ...first, ...second, files }
}

const runsOf = (entry) =>
  entry === undefined ? -1 : entry.plain.length + (entry.thread === undefined ? 0 : 1)

/** Whether a file passes on plain Node; undefined where more runs are needed to say. Pure. @public (tests import it) */
export function passesPlainly(entry, placement) {
  const plain = entry?.plain ?? []
  if (plain.some(({ ok }) => !ok)) return false
  if (plain.length < PLAIN_RUNS) return undefined
  return placement === 'thread' ? entry.thread?.ok : true
}

/** What the slower of the plain runs took. Pure. @public (tests import it) */
export const plainMs = (entry) => Math.max(...entry.plain.map(({ ms }) => ms))

/** The baseline of one Node version for one version of the tests, in `cache`. */
export function openBaseline({ cache, version, node, nodeVersion, root, jobs, note }) {
  const path = join(cache, `baseline-${version}-on-${nodeVersion}.json`)
  const read = () => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined)
  let state = read() ?? { version: 1, tests: version, node: nodeVersion, files: {} }
  // Merged with what another run has saved meanwhile, and replaced whole.
  const save = () => {
    state = mergeBaselines(read() ?? state, state)
    writeFileSync(`${path}.${process.pid}`, `${JSON.stringify(state).replaceAll('},"', '},\n"')}\n`)
    renameSync(`${path}.${process.pid}`, path)
  }
  const entryOf = (file) => (state.files[file] ??= { plain: [] })
  const passes = (file, placement) => passesPlainly(state.files[file], placement)

  async function probe(files, placement) {
    for (let turn = 1; turn <= PLAIN_RUNS; turn++) {
      const todo = files.filter(
        (file) => entryOf(file).plain.length < turn && entryOf(file).plain.every(({ ok }) => ok),
      )
      // The second turn in the other order: not beside the same neighbours.
      if (turn % 2 === 0) todo.reverse()
      let count = 0
      await pool(todo, jobs, async (file, slot) => {
        entryOf(file).plain.push(await runPlain({ node, root, file, slot }))
        if (++count % SAVE_EVERY === 0) {
          note(`baseline, turn ${turn}: ${count} of ${todo.length} files`)
          save()
        }
      })
    }
    if (placement === 'thread') await probeThreads(files)
    save()
  }

  async function probeThreads(files) {
    const todo = files.filter((file) => passes(file, 'process') && entryOf(file).thread === undefined)
    const batches = []
    for (let i = 0; i < todo.length; i += THREAD_BATCH) batches.push(todo.slice(i, i + THREAD_BATCH))
    await pool(batches, jobs, async (batch, slot) => {
      const done = (file, result) => (entryOf(file).thread = result)
      await runPlainThreads({ node, root, files: batch, slot, done })
      save()
    })
  }

  return { path, passes, probe, msOf: (file) => plainMs(state.files[file]) }
}
