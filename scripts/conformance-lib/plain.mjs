// Test files under plain Node: as the main script, and in a plain Worker.
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { cleanEnv, killGroup, start } from './processes.mjs'

/** What a file may take plainly; the slowest that pass take some five seconds. */
export const LIMIT_MS = 10_000
const OUTPUT_CHARS = 1500
/** Output still under way when the process has ended. */
const DRAIN_MS = 5
const THREADS_SCRIPT = fileURLToPath(new URL('workers/plain-threads.mjs', import.meta.url))

export const skipsItself = (output) => /^1\.\.0 # Skipped/m.test(output)

/** `{ok, ms, why?}` of `node <file>` with an empty stdin and pipes for output. A file that skips itself is not ok. */
export function runPlain({ node, root, file, slot }) {
  return new Promise((resolve) => {
    const begin = performance.now()
    const { child, release } = start(node, [join(root, 'test', file)], {
      cwd: root,
      env: cleanEnv(node, { TEST_THREAD_ID: `${process.pid}p${slot}` }),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    let late = false
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => (output = (output + chunk).slice(-OUTPUT_CHARS)))
    const timer = setTimeout(() => {
      late = true
      killGroup(child)
    }, LIMIT_MS)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      const ms = Math.round(performance.now() - begin)
      setTimeout(() => {
        release()
        const why = late
          ? 'timeout'
          : code !== 0
            ? `code ${code ?? signal}`
            : skipsItself(output)
              ? 'skips itself'
              : ''
        resolve({ ok: why === '', ms, ...(why === '' ? {} : { why }) })
      }, DRAIN_MS)
    })
  })
}

/** The files, one after the other, each in `new Worker(file)` of one plain process; `done(file, {ok, ms?, why?})` for each.
 *  A file that ends the whole process fails, and the rest is run in a new one. */
export async function runPlainThreads({ node, root, files, slot, done }) {
  let rest = files
  while (rest.length > 0) {
    const current = await runThreadBatch({ node, root, files: rest, slot }, (file, result) => {
      rest = rest.filter((other) => other !== file)
      done(file, result)
    })
    const culprit = current ?? rest[0]
    if (culprit === undefined) return
    rest = rest.filter((other) => other !== culprit)
    done(culprit, { ok: false, why: 'ended the process' })
  }
}

/** Resolves with the file that was running when the process ended, undefined if none was. */
async function runThreadBatch({ node, root, files, slot }, done) {
  const input = { files, folder: join(root, 'test/'), slot: `${process.pid}w${slot}`, limitMs: LIMIT_MS }
  const { child, release } = start(node, [THREADS_SCRIPT, JSON.stringify(input)], {
    cwd: root,
    env: cleanEnv(node),
    stdio: ['ignore', 'ignore', 'ignore', 'ignore', 'pipe'],
  })
  let timer
  const expectLine = () => {
    clearTimeout(timer)
    timer = setTimeout(() => killGroup(child), LIMIT_MS + 4000)
  }
  let current
  expectLine()
  for await (const line of createInterface({ input: child.stdio[4] })) {
    expectLine()
    const { begin, file, ...result } = JSON.parse(line)
    current = begin
    if (file !== undefined) done(file, result)
  }
  clearTimeout(timer)
  release()
  return current
}
