// Runs test files one after the other, each in a Worker of this process. Descriptor 4 gets one JSON line when a file begins
// and one with its result: a file may end the whole process.
import { writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'

const RESULTS_FD = 4
const { files, folder, slot, limitMs } = JSON.parse(process.argv[2])
const write = (line) => writeSync(RESULTS_FD, `${JSON.stringify(line)}\n`)

function runInThread(file) {
  return new Promise((resolve) => {
    let why
    let output = ''
    const env = { ...process.env, TEST_THREAD_ID: slot }
    const worker = new Worker(folder + file, { stdout: true, stderr: true, name: file, env })
    const timer = setTimeout(() => {
      why ??= 'timeout'
      void worker.terminate()
    }, limitMs)
    for (const stream of [worker.stdout, worker.stderr])
      stream.on('data', (chunk) => (output = (output + chunk).slice(-1500)))
    worker.on('error', (error) => (why ??= String(error?.stack ?? error).slice(0, 300)))
    worker.once('exit', (code) => {
      clearTimeout(timer)
      if (code !== 0) why ??= `code ${code}`
      setImmediate(() => {
        if (/^1\.\.0 # Skipped/m.test(output)) why ??= 'skips itself'
        resolve({ ok: why === undefined, ...(why === undefined ? {} : { why }) })
      })
    })
  })
}

for (const file of files) {
  write({ begin: file })
  const begin = performance.now()
  const result = await runInThread(file)
  write({ file, ms: Math.round(performance.now() - begin), ...result })
}
process.exit(0)
