// The swap in a real systemd (scripts/systemd-ns, needs root): the 18 demo units become one and 18 again while orders go
// on, then 20 swaps whose swapper is killed, one call of systemctl later each time, and resumed; and the time from the
// start of the unit to READY, beside the hand-written host in a separate unit; and jobs of a Redis stream over a swap and
// back. What byre projected before each swap is told beside what was measured after it.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { buildResult, claim, figuresOf, ratioOf, tableOf } from './lib/result.mjs'

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')
const INSIDE = `${ROOT}/scripts/benches/hosts/swap-inside.mjs`
/** Lines over TCP and of a log are no jobs: nobody keeps one that comes while nobody listens, alone or hosted. */
const NO_JOBS = /(log|distinct) lines/
/** Swaps with a kill -9 of the swapper. */
const KILLS = 24

export const describe = 'systemd: 18 demo units to one and back, kills at every step, boot to READY'
export const table = tableOf

export async function run(options) {
  const told = await inside(options)
  const lostJobs = told.unfinished.filter((line) => !NO_JOBS.test(line))
  const runs = {
    before: told.swaps.map(({ before }) => figures(before)),
    after: told.swaps.map(({ after }) => figures(after)),
    byHand: told.boots.map(({ byHandMs }) => ({ readyMs: byHandMs })),
    byre: told.boots.map(({ byreMs }) => ({ readyMs: byreMs })),
  }
  const saved = figuresOf(
    '18 units to one',
    told.swaps.map(({ saved: { pssPercent } }) => ({ pssSavedPercent: pssPercent })),
  )
  const lost = figuresOf('there and back', [{ lostJobsCount: lostJobs.length }])
  const killed = told.kills.filter((kill) => kill.killed)
  const bad = figuresOf('killed swaps', [
    {
      swapsCount: told.kills.length,
      killedCount: killed.length,
      neitherSideCount: told.kills.filter(({ side }) => side === 'neither').length,
    },
  ])
  const { made, lost: lostOfStream, unacked, twice } = told.jobs
  const stream = figuresOf('jobs of a stream', [
    { madeCount: made, lostCount: lostOfStream, unackedCount: unacked, twiceCount: twice },
  ])
  const projected = told.swaps.map(({ projected: { pssBytes, anonBytes } }) => ({ pssBytes, anonBytes }))
  const ratio = ratioOf('byre over by hand', 'readyMs', runs.byre, runs.byHand)
  return buildResult('swap', options, {
    settings: { workers: told.workers, kills: KILLS, systemd: told.systemd },
    figures: [
      ...figuresOf('18 units', runs.before),
      ...figuresOf('one unit, projected', projected),
      ...figuresOf('one unit', runs.after),
      ...saved,
      ...lost,
      ...stream,
      ...bad,
      ...figuresOf('by hand', runs.byHand),
      ...figuresOf('byre', runs.byre),
      ratio,
    ],
    claims: [
      claim('PSS saved by the swap, percent', saved[0], 88, 'at least'),
      claim('jobs lost over the swap and back', lost[0], 0),
      claim('jobs of a stream lost over the swap and back', stream[1], 0),
      claim('killed swaps that ended, after resume, on neither side or on both', bad[2], 0),
      claim('start of the unit to READY over the hand-written host', ratio, 1.5),
    ],
    notes: [
      ...told.unfinished,
      ...told.kills.map(
        ({ to, call, of, when, resumed, side }) =>
          `swap to ${to} killed ${when} call ${call} of ${of}: ${resumed}; runs: ${side}`,
      ),
    ],
  })
}

function figures({ pssBytes, anonBytes, units, processes }) {
  return { pssBytes, anonBytes, unitsCount: units, processesCount: processes }
}

/** Runs the inner part in a systemd of its own, with a network of its own; its last line is the result. */
function inside(options) {
  const settings = JSON.stringify({ runs: options.runs, settleMs: options.settleMs, kills: KILLS })
  const args = ['run', '-N', '-b', ROOT, '--', options.node, INSIDE, settings]
  return new Promise((resolve, reject) => {
    const child = spawn(`${ROOT}/scripts/systemd-ns`, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let err = ''
    child.stdout.on('data', (chunk) => (out += chunk))
    child.stderr.on('data', (chunk) => {
      err += chunk
      for (const line of String(chunk).split('\n')) if (line !== '') options.note(line)
    })
    child.on('error', reject)
    child.on('close', (code) => {
      const last = out.trimEnd().split('\n').at(-1)
      if (code !== 0 || last === undefined)
        reject(new Error(`swap-inside ended with ${code}: ${err.slice(-2000)}`))
      else resolve(JSON.parse(last))
    })
  })
}
