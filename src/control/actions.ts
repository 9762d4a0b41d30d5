// What a control command does to a worker: decides, starts it, answers at once.

import { assertNever } from '../base/check.ts'
import type { Clock } from '../base/clock.ts'
import type { Placement, ResolvedWorker } from '../config/types.ts'
import { unfolded } from '../log/fold.ts'
import type { Admission } from '../herd/admission.ts'
import type { Assignments } from '../herd/assignments.ts'
import type { Runner } from '../herd/runner.ts'
import type { ControlCommand, ControlReply } from '../herd/status.ts'
import type { SupervisorLog } from '../log/herd-log.ts'

export interface CommandDeps {
  readonly runnerOf: (worker: string) => Runner | undefined
  readonly workers: () => readonly string[]
  readonly log: SupervisorLog
  readonly clock: Clock
  /** The herd is going down. */
  readonly draining: () => boolean
  readonly assignments: Assignments
  readonly admission: Pick<Admission, 'fullAt'>
  /** Keeps what is published for it until its next run is there to take it. */
  readonly hold: (runner: Runner) => void
  /** Files of the worker changed since it was loaded. */
  readonly codeChanged: (runner: Runner) => boolean
}

export function act(command: ControlCommand, deps: CommandDeps): ControlReply {
  const runner = deps.runnerOf(command.worker)
  if (runner === undefined) {
    const known = deps.workers().slice(0, 20).join(', ')
    return refuse(
      command,
      404,
      'BYRE_WORKER_UNKNOWN',
      `No worker '${command.worker}' here. Hosted: ${known}.`,
    )
  }
  if (deps.draining() && command.action !== 'status') {
    return refuse(
      command,
      409,
      'BYRE_CONTROL_REFUSED',
      `Cannot ${command.action} '${command.worker}': the herd is shutting down.`,
    )
  }
  const { fullAt } = deps.admission
  if (fullAt !== undefined && wantsALoad(command, runner)) {
    const message = `Cannot ${command.action} '${command.worker}': ${fullAt} workers wait to load already (admission.queue). Ask again when they have.`
    return refuse(command, 429, 'BYRE_ADMISSION_FULL', message)
  }
  record(command, deps)
  const wake = { by: 'manual' as const, at: deps.clock.now() }
  switch (command.action) {
    case 'status':
      return accept(command, runner)
    case 'start':
    case 'wake':
      runner.start(wake)
      return accept(command, runner)
    case 'stop':
      runner.stop('stop', { kind: 'rest' })
      return accept(command, runner)
    case 'restart': {
      const stale = deps.codeChanged(runner)
      if (runner.live) runner.stop('restart', { kind: 'start', wake })
      else runner.start(wake)
      return accept(
        command,
        runner,
        stale && deps.assignments.of(runner.spec) === 'shared' ? STALE_CODE : undefined,
      )
    }
    case 'sleep':
      return sleep(command, runner, deps.assignments.of(runner.spec) === 'shared')
    case 'log-level': {
      const level = command.args?.level
      if (level === undefined)
        return refuse(
          command,
          400,
          'BYRE_ARGUMENT_INVALID',
          "Cannot set the log level: 'args.level' is missing.",
        )
      deps.log.setLevel(runner.name, level)
      runner.instance?.setLevel?.(level)
      return accept(command, runner)
    }
    case 'move':
      return move(command, runner, deps)
    default:
      return assertNever(command.action)
  }
}

/** Commands that are on record one by one. */
const RECORDED_MAX = 100
const RECORD_WINDOW_MS = 10_000
const windows = new WeakMap<SupervisorLog, { startMs: number; count: number }>()

/**
 * Who asked for what: a line each, also of those that look alike. Beyond 100 in 10 s the log folds them like any line: counted
 * by worker and action, and told.
 */
function record({ action, worker, by, id }: ControlCommand, { log, clock }: CommandDeps): void {
  const nowMs = clock.monotonic()
  let window = windows.get(log)
  if (window === undefined || nowMs - window.startMs >= RECORD_WINDOW_MS) {
    window = { startMs: nowMs, count: 0 }
    windows.set(log, window)
  }
  const fields = { event: 'control', action, by, id }
  const kept = ++window.count <= RECORDED_MAX ? unfolded(fields) : fields
  log.about(worker, 'now').info(kept, `${action}, asked by ${by}`)
}

/** Whether it would put one more into the queue of those who load. */
function wantsALoad({ action }: ControlCommand, runner: Runner): boolean {
  if (action === 'restart') return true
  if (action === 'move') return runner.live
  return (action === 'start' || action === 'wake') && !runner.live && !runner.pending
}

const STALE_CODE =
  'Its files changed since they were loaded, and a restart in the same process runs the loaded code again. ' +
  'Restart the unit for the new code.'

/** The old run ends before the new one begins; what is published for it meanwhile is kept. */
function move(command: ControlCommand, runner: Runner, deps: CommandDeps): ControlReply {
  const to = command.args?.to
  if (to === undefined)
    return refuse(command, 400, 'BYRE_ARGUMENT_INVALID', "Cannot move: 'args.to' is missing.")
  const { spec } = runner
  const why = immovable(spec, to)
  if (why !== undefined)
    return refuse(command, 409, 'BYRE_CONTROL_REFUSED', `Cannot move '${spec.name}' to ${to}: ${why}.`)
  if (deps.assignments.of(spec) === to) return accept(command, runner, `It lives in ${to} already.`)
  deps.assignments.move(spec, to, 'hand', `asked by ${command.by}`)
  if (runner.live) {
    deps.hold(runner)
    runner.stop('move', { kind: 'start', wake: { by: 'manual', at: deps.clock.now() } })
  }
  return accept(command, runner)
}

/** Why `spec` cannot live in `to`. */
function immovable(spec: ResolvedWorker, to: Placement): string | undefined {
  if (to === 'shared' && spec.source.kind === 'script')
    return 'a script has no run() to call in the shared loop'
  if (to !== 'process' && spec.cwd !== undefined) return "its 'cwd' needs a process of its own"
  return undefined
}

function sleep(command: ControlCommand, runner: Runner, stays: boolean): ControlReply {
  if (!runner.lazy) {
    const message = `Cannot put '${runner.name}' to sleep: it is eager, so nothing would wake it. Use stop.`
    return refuse(command, 409, 'BYRE_CONTROL_REFUSED', message)
  }
  runner.stop('sleep', { kind: 'sleep' })
  return accept(
    command,
    runner,
    stays ? 'In placement shared its module stays loaded; only its run ends.' : undefined,
  )
}

function accept(command: ControlCommand, runner: Runner, warning?: string): ControlReply {
  const body = {
    v: 1 as const,
    id: command.id,
    ok: true as const,
    worker: runner.name,
    state: runner.state.kind,
  }
  return { status: 202, body: warning === undefined ? body : { ...body, warning } }
}

function refuse(
  command: ControlCommand,
  status: 400 | 404 | 409 | 429,
  code: string,
  message: string,
): ControlReply {
  return { status, body: { v: 1, id: command.id, ok: false, error: { code, message } } }
}
