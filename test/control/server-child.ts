// A control server in a process of its own, for tests that attack it and measure its memory. Its worker 'webhook'
// shows in `restarts` how many commands have reached the target.
import { fakeTarget, memoryLog, supervisorStatus, worker } from './fake-target.ts'
import { startControlServer } from '../../src/control/server.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { Clock } from '../../src/base/clock.ts'

// The 5 s deadlines of the server, 5 times shorter: a slow client is one that takes 1 s.
const clock: Clock = {
  ...systemClock,
  setTimer: (delayMs, fn, options) =>
    systemClock.setTimer(delayMs > 1000 ? delayMs / 5 : delayMs, fn, options),
}

const target = fakeTarget()
target.status = () =>
  Promise.resolve(supervisorStatus([worker('webhook', { restarts: target.commands.length }), worker('mail')]))
const log = memoryLog()
const server = await startControlServer({ target, socketPath: process.argv[2]!, log, clock })
process.stdout.write('listening\n')
process.stdin.resume().once('end', () => {
  void server.close().then(() => {
    const { refused } = server.stats()
    process.stdout.write(`${JSON.stringify({ refused, logLines: log.lines.length })}\n`)
  })
})
