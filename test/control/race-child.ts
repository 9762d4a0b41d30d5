// One of the processes that race for a socket path: reports the result, then runs until its stdin ends.
import { startControlServer } from '../../src/control/server.ts'
import { fakeTarget, memoryLog } from './fake-target.ts'

const [socketPath, startAt] = process.argv.slice(2)
await new Promise((resolve) => setTimeout(resolve, Number(startAt) - Date.now()))
try {
  const server = await startControlServer({ target: fakeTarget(), socketPath: socketPath!, log: memoryLog() })
  process.stdout.write(`won ${process.pid}\n`)
  process.stdin.resume().once('end', () => void server.close())
} catch (error) {
  const { code, message } = error as { code?: string; message: string }
  process.stdout.write(`lost ${code} ${message}\n`)
}
