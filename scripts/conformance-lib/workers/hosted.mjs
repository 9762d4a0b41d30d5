// Hosts one of Node's test files in the shared loop: evaluates it as the main module of a program, and ends when the judge
// (judge.mjs) finds that it would have ended plainly. Everything that waits is the judge's: a promise or a timer of this worker
// would be one of the file's to an async hook.
import { readFileSync } from 'node:fs'
import Module, { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import vm from 'node:vm'

const require = createRequire(import.meta.url)
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
    list: listOfRun(slot),
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
    evaluateMain(file)
  } catch (error) {
    setImmediate(() => {
      throw error
    })
  }
}

/** Not by require(): what a module sets up while a run imports it does not belong to the run, and this one is the program. */
function evaluateMain(file) {
  const module = new Module(file)
  Object.assign(module, { filename: file, paths: Module._nodeModulePaths(dirname(file)) })
  const names = ['exports', 'require', 'module', '__filename', '__dirname']
  const main = vm.compileFunction(readFileSync(file, 'utf8'), names, {
    filename: file,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  const requireOfFile = createRequire(file)
  requireOfFile.cache[file] = module
  main.call(module.exports, module.exports, requireOfFile, module, file, dirname(file))
  module.loaded = true
}

/**
 * The listeners of this worker for the end of its run; the judge calls them. A listener on an emitter of another worker runs in
 * the context of this run. An AsyncResource would do so as well, and the hooks of the file would see it.
 */
function listOfRun(slot) {
  const calls = globalThis[Symbol.for('byre.conformance.calls')]
  calls.on(slot, (fn) => fn())
  const inRun = (fn) => {
    let result
    calls.emit(slot, () => (result = fn()))
    return result
  }
  return {
    listeners: (event) => inRun(() => process.rawListeners(event)),
    remove: (event, listener) => inRun(() => process.removeListener(event, listener)),
    call: (listener) => inRun(() => listener.call(process, 0)),
  }
}

async function importFile(file, root, hosted) {
  // The helper as an ES module is evaluated once: its checks are emptied for each file.
  const { mustCallChecks } = await import(pathToFileURL(join(root, 'common/index.mjs')).href)
  mustCallChecks.length = 0
  hosted.checks = () => mustCallChecks
  await import(`${pathToFileURL(file).href}?hosted=${Date.now()}`)
}
