// The readers of src/procfs against the real kernel, and each reason for a missing file.
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { readAuxv } from '../../src/procfs/auxv.ts'
import { readCgroup } from '../../src/procfs/cgroup.ts'
import { listProcNumbers, readProc } from '../../src/procfs/read.ts'
import { readTaskSchedstat } from '../../src/procfs/schedstat.ts'
import { readSmapsRollup } from '../../src/procfs/smaps-rollup.ts'
import { readStat } from '../../src/procfs/stat.ts'
import { readStatm } from '../../src/procfs/statm.ts'
import { eventually, nextEvent } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
// pid_max is at most 2^22, so no process has this pid.
const NO_PID = 4_194_305

function value<T>(result: { ok: true; value: T } | { ok: false; reason: string; path: string }): T {
  if (!result.ok) throw new Error(`${result.path}: ${result.reason}`)
  return result.value
}

t.test('every reader reads this process', async (t) => {
  const { pageSizeBytes, ticksPerSecond } = value(readAuxv())
  t.ok(pageSizeBytes >= 4096 && ticksPerSecond >= 100)
  const rollup = value(readSmapsRollup('self'))
  t.ok(rollup.anonBytes > 1e6 && rollup.ussBytes > 1e6 && rollup.pssBytes <= rollup.rssBytes)
  const rss = process.memoryUsage.rss()
  for (const [name, bytes] of [
    ['statm', value(readStatm('self', pageSizeBytes)).rssBytes],
    ['rollup', rollup.rssBytes],
  ] as const)
    t.ok(Math.abs(bytes - rss) < 0.2 * rss, `${name} says ${bytes}, node says ${rss}`)
  const stat = value(readStat('self'))
  t.equal(stat.pid, process.pid)
  t.equal(stat.ppid, process.ppid)
  t.ok(value(readCgroup('self')).every((line) => line.path.startsWith('/')))
  const tids = value(listProcNumbers('self', 'task'))
  t.ok(tids.includes(process.pid) && tids.length === stat.threads)
  const cpu = readTaskSchedstat('self', process.pid)
  t.ok(cpu.ok ? cpu.value.cpuMs > 0 : cpu.reason === 'unsupported')
})

t.test('every reader reports a process that does not exist as gone', async (t) => {
  for (const read of [readCgroup, readSmapsRollup, readStat, readAuxv])
    t.match(read(NO_PID), { ok: false, reason: 'gone', path: new RegExp(String(NO_PID)) }, read.name)
})

t.test('a file that this kernel does not have is unsupported, not gone', async (t) => {
  t.match(
    readProc('self', 'no_such_file', (x) => x),
    { ok: false, reason: 'unsupported' },
  )
  t.match(
    readProc(undefined, 'no_such_file', (x) => x),
    { ok: false, reason: 'unsupported' },
  )
})

t.test('denied and malformed are distinguished', async (t) => {
  const root = t.testdir({ 7: { stat: 'garbage', smaps_rollup: 'Rss: 1 kB' } })
  t.match(readStat(7, root), { ok: false, reason: 'malformed', path: `${root}/7/stat` })
  t.match(readSmapsRollup(7, root), { ok: false, reason: 'malformed' })
  t.test('denied', { skip: process.getuid?.() === 0 ? 'root may read everything' : false }, async (t) => {
    chmodSync(`${root}/7/stat`, 0o000)
    t.match(readStat(7, root), { ok: false, reason: 'denied' })
  })
})

t.test('an error that procfs does not return is thrown', async (t) => {
  const root = t.testdir()
  mkdirSync(`${root}/8/stat`, { recursive: true })
  t.throws(() => readStat(8, root), { code: 'EISDIR' })
})

t.test(
  'a child can be read while it lives and is gone once reaped, whatever its name contains',
  async (t) => {
    const folder = t.testdir()
    const script = `${folder}/x) R 1 (y`
    writeFileSync(script, '#!/bin/sh\nread line\n', { mode: 0o755 })
    const child = spawn(script, { stdio: ['pipe', 'ignore', 'ignore'] })
    await nextEvent(child, 'spawn')
    const stat = await eventually('the script to be executed', () => {
      const found = value(readStat(child.pid!))
      return found.comm.includes(')') && found
    })
    t.equal(stat.comm, 'x) R 1 (y')
    t.equal(stat.ppid, process.pid)
    child.stdin!.end()
    await nextEvent(child, 'close')
    t.match(readStat(child.pid!), { ok: false, reason: 'gone' })
  },
)
