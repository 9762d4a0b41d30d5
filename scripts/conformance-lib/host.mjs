// Hosts Node's test files in one placement and says which pass.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startHerd } from './herd.mjs'
import { LIMIT_MS, runPlain, runPlainThreads, skipsItself } from './plain.mjs'
import { pool } from './processes.mjs'
import { judge } from './verdict.mjs'

const WRAPPER = fileURLToPath(new URL('workers/hosted.mjs', import.meta.url))
/** Files one supervisor is given: one that ends it costs no more than the rest of a batch, and in the shared loop what files
 *  leave running adds up. */
const BATCH = { process: 150, thread: 150, shared: 40 }
/** How late a turn of the neighbour may come. In the shared loop a file may hold the loop as long as it does plainly. */
const LONGEST_GAP_MS = { process: 2500, thread: 2500, shared: 5000 }
/** The wrapper waits up to three times the plain time and some seconds. */
const HOSTED_LIMIT_MS = { process: LIMIT_MS + 2000, thread: LIMIT_MS + 2000, shared: LIMIT_MS * 2 }
const QUIET_MS = { process: 0, thread: 0, shared: 15 }

/** Results of the files, a map file -> result. What fails is run again alone in a separate supervisor and counts as
 *  failed only if it fails again; what then fails plainly as well, or skips itself, is `dropped`. `job` has launcher, node,
 *  root, placement, jobs, msOf(file). `onFailure(file, result)` is called for each failure that counts. */
export async function hostFiles(files, job, onFailure) {
  const results = new Map()
  const failed = () => files.filter((file) => results.get(file)?.ok !== true)
  await runRound(files, { ...job, batch: BATCH[job.placement], patient: false }, results)
  await runRound(failed(), { ...job, batch: 1, patient: true }, results)
  const plainly = await runAgainPlainly(failed(), job)
  for (const [file, result] of results) {
    if (result.skipped || plainly.get(file) === false) result.dropped = true
    else if (!result.ok) onFailure(file, result)
  }
  return results
}

// In the shared loop one file at a time for each supervisor: it could not be said otherwise whose listener for 'exit' is
// whose, nor which file disturbed the neighbour.
async function runRound(files, { batch, ...job }, results) {
  const alone = batch === 1 || job.placement === 'shared'
  const lanes = alone ? job.jobs : 1
  const size = Math.max(1, Math.min(batch, Math.ceil(files.length / lanes)))
  const batches = []
  for (let i = 0; i < files.length; i += size) batches.push(files.slice(i, i + size))
  let slot = 0
  await pool(batches, lanes, async (rest) => {
    while (rest.length > 0) {
      const left = await hostBatch(
        rest,
        { ...job, jobs: alone ? 1 : job.jobs, slot: `${process.pid}-${slot++}` },
        results,
      )
      if (left.length === rest.length)
        throw new Error('Cannot host test files: the supervisor does not start.')
      rest = left
    }
  })
}

/** Hosts the files in one supervisor; those that were not begun when it ended are returned. */
async function hostBatch(files, { launcher, node, root, placement, jobs, msOf, slot, patient }, results) {
  const names = new Map(files.map((file, i) => [`t${i}`, file]))
  const entry = (name, file) => workerEntry({ file, root, placement, ms: msOf(file), slot, name, patient })
  const workers = Object.fromEntries([...names].map(([name, file]) => [name, entry(name, file)]))
  const longestGapMs = LONGEST_GAP_MS[placement]
  const herd = await startHerd({ launcher, node, cwd: root, workers, longestGapMs })
  const left = new Map(names)
  try {
    await pool([...names], jobs, async ([name, file]) => {
      if (herd.over !== undefined) return
      left.delete(name)
      const options = { limitMs: HOSTED_LIMIT_MS[placement], quietMs: QUIET_MS[placement] }
      const record = await herd.run(name, options)
      const skipped = skipsItself(record.output) ? { skipped: true } : {}
      results.set(file, { ...judge(record), ms: record.ms, ...skipped, ...(patient ? { alone: true } : {}) })
    })
  } finally {
    await herd.stop()
  }
  return [...left.values()]
}

function workerEntry({ file, root, placement, ms, slot, name, patient }) {
  const path = join(root, 'test', file)
  if (placement === 'shared') {
    const config = { file: path, root: join(root, 'test'), ms, slot: `s${slot}`, patient }
    return { module: WRAPPER, placement, config }
  }
  const cwd = placement === 'process' ? { cwd: root } : {}
  return { script: path, placement, env: { TEST_THREAD_ID: `h${slot}${name}` }, ...cwd }
}

/** Map file -> whether it passes plainly now, so that a slow or broken machine is not charged to byre. */
async function runAgainPlainly(files, { node, root, placement, jobs }) {
  const passes = new Map()
  if (placement === 'thread') {
    const done = (file, result) => passes.set(file, result.ok)
    await runPlainThreads({ node, root, files, slot: 'again', done })
  } else
    await pool(files, jobs, async (file, slot) => {
      passes.set(file, (await runPlain({ node, root, file, slot: `again${slot}` })).ok)
    })
  return passes
}
