// Hosts one of Node's test files in the shared loop: evaluates it as the main module of a program, and ends when the judge
// (judge.mjs) finds that it would have ended plainly. Everything that waits is the judge's: a promise or a timer of this worker
// would be one of the file's to an async hook.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const require = createRequire(import.meta.url)
const listenersOf = (event) => process.rawListeners(event)
const openHandles = process._getActiveHandles.bind(process)

export function run(ctx) {
  const { file, ms, root, slot, patient } = ctx.config
  process.env.TEST_THREAD_ID = slot
  // A test that starts itself again does so by this path.
  process.argv = [process.execPath, file]
  // A copy of its own of everything below test/: the counters of the helpers must not be shared with the file before.
  for (const key of Object.keys(require.cache)) if (key.startsWith(root)) delete require.cache[key]
  const hosted = {
    ms,
    patient,
    listenersBefore: { exit: new Set(listenersOf('exit')), beforeExit: new Set(listenersOf('beforeExit')) },
    handlesBefore: new Set(openHandles()),
    checks: () => [],
    end: () => {},
  }
  const ended = new Promise(
    (resolve, reject) => (hosted.end = (error) => (error ? reject(error) : resolve())),
  )
  globalThis[Symbol.for('byre.conformance.hosted')].push(hosted)
  // It called process.exit, or failed: nothing is left to wait for.
  ctx.signal.addEventListener('abort', () => hosted.end())
  evaluate(file, root, hosted)
  return ended
}

/** What the main module of a program throws is an uncaught error, which its own handlers may take. */
function evaluate(file, root, hosted) {
  const common = join(root, 'common/index.js')
  if (file.endsWith('.mjs')) {
    importFile(file, root, hosted).catch(hosted.end)
    return
  }
  hosted.checks = () => require.cache[common]?.mustCallChecks ?? []
  try {
    require(file)
  } catch (error) {
    setImmediate(() => {
      throw error
    })
  }
}

async function importFile(file, root, hosted) {
  // The helper as an ES module is evaluated once: its checks are emptied for each file.
  const { mustCallChecks } = await import(pathToFileURL(join(root, 'common/index.mjs')).href)
  mustCallChecks.length = 0
  hosted.checks = () => mustCallChecks
  await import(`${pathToFileURL(file).href}?hosted=${Date.now()}`)
}
