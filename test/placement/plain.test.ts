// A script that byre hosts does what `node script` does: each program here is run by node alone and by byre, in a process,
// and what it saw of its world must be the same. In a thread it is held against `new Worker(script)`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { WorkerConfig } from '../../src/config/types.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { PROGRAMS, TOOLS } from './plain-programs.ts'
import type { Program } from './plain-programs.ts'

leakGuard(t)

/** What only the supervisor may have: its flags of node, the malloc setting of units/byre, its own variables. */
const ONLY_SUPERVISOR = {
  flags: ['--max-semi-space-size=1', '--no-warnings', '--require'],
  env: {
    MALLOC_MMAP_THRESHOLD_: '32768',
    BYRE_MALLOC: '1',
    BYRE_CGROUP: 'none',
    BYRE_NODE_FLAGS: '--max-semi-space-size=1',
    WATCHDOG_PID: '1',
  },
}
const PASSED_ON = { FROM_OUTSIDE: 'kept' }
const OWN_ENV = { OWN: 'of the worker' }
const ARGS = ['--flag', 'two words', '']

/** One program in one place. It lies in a folder of its own, `name` below that of all. */
interface Case {
  readonly name: string
  readonly place: 'process' | 'inside' | 'thread'
  readonly program: Program
}

const cases: readonly Case[] = PROGRAMS.flatMap((program, i) => [
  { name: `process${i}`, place: 'process' as const, program },
  ...(program.inside === false ? [] : [{ name: `inside${i}`, place: 'inside' as const, program }]),
  ...(program.thread === false ? [] : [{ name: `thread${i}`, place: 'thread' as const, program }]),
])

const TITLES = { process: 'in a process', inside: 'in a process, with inside: true', thread: 'in a thread' }

/** A thread by a program that does nothing else. */
const THREAD = `
const { Worker } = require('node:worker_threads')
const worker = new Worker(process.argv[2], { argv: [], env: { ...process.env }, stdout: true, stderr: true })
worker.on('error', () => {})
worker.on('exit', (code) => process.exit(code))`

/** The files of all cases. */
function writeCases(folder: string): void {
  for (const { name, program } of cases) {
    mkdirSync(join(folder, name))
    writeFileSync(join(folder, name, 'tools.cjs'), TOOLS)
    writeFileSync(join(folder, name, program.file), program.source)
  }
}

interface Seen {
  readonly code: unknown
  /** One line for each thing the program looked at. */
  readonly lines: readonly string[]
}

/** What a program wrote to its file; where its files lie is no difference. */
function seenBy(folder: string, { name }: Case, code: unknown): Seen {
  const text = readFileSync(join(folder, name, 'seen.txt'), 'utf8')
  const anywhere = text.replaceAll(aloneIn, 'FOLDER').replaceAll(hostedIn, 'FOLDER')
  return { code, lines: anywhere.trimEnd().split('\n') }
}

async function alone(folder: string, one: Case): Promise<Seen> {
  const places = { RUNTIME_DIRECTORY: join(hostedIn, 'run'), STATE_DIRECTORY: join(hostedIn, 'state') }
  const env = { ...PASSED_ON, ...places, ...OWN_ENV }
  const file = join(folder, one.name, one.program.file)
  const thread = one.place === 'thread'
  const args = thread ? [join(folder, 'thread.cjs'), file] : [file, ...ARGS]
  const { code } = await runCleanNode(args, { cwd: thread ? folder : join(folder, one.name), env })
  return seenBy(folder, one, code)
}

function workerOf({ name, place, program }: Case): WorkerConfig {
  const worker = { script: `./${name}/${program.file}`, module: undefined, restart: 'never', env: OWN_ENV }
  const process = { placement: 'process', args: ARGS, cwd: `./${name}` }
  const more = { process, inside: { ...process, inside: true }, thread: { placement: 'thread' } }[place]
  return { ...worker, ...more } as never
}

const [aloneIn, hostedIn] = [herdFolder(t), herdFolder(t)]
for (const folder of [aloneIn, hostedIn]) writeCases(folder)
writeFileSync(join(aloneIn, 'thread.cjs'), THREAD)
writeFileSync(join(hostedIn, 'preload.cjs'), '')
const herd = await startHerd(t, {
  folder: hostedIn,
  nodeArgs: [...ONLY_SUPERVISOR.flags, join(hostedIn, 'preload.cjs')],
  env: { ...ONLY_SUPERVISOR.env, ...PASSED_ON },
  config: { workers: Object.fromEntries(cases.map((one) => [one.name, workerOf(one)])) },
})

for (const one of cases)
  t.test(`${TITLES[one.place]}: ${one.program.title}`, async (t) => {
    const { lastExit } = await herd.untilWorker(one.name, (w) => w.state === 'stopped')
    // Node gives the error that ended a thread, and no exit code, which is 1 then.
    const code =
      lastExit?.verdict === 'failed' ? (lastExit.evidence['code'] ?? 1) : lastExit?.evidence['code']
    t.same(seenBy(hostedIn, one, code), await alone(aloneIn, one))
  })

t.test('the supervisor has what none of them saw', async (t) => {
  const environment = readFileSync(`/proc/${herd.pid}/environ`, 'utf8').split('\0')
  for (const [name, value] of Object.entries(ONLY_SUPERVISOR.env))
    t.ok(environment.includes(`${name}=${value}`), name)
  const commandLine = readFileSync(`/proc/${herd.pid}/cmdline`, 'utf8').split('\0')
  for (const flag of ONLY_SUPERVISOR.flags) t.ok(commandLine.includes(flag), flag)
  t.same(await herd.stop(), { code: 0, signal: null })
})
