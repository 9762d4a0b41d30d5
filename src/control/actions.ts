// Executes a control command on a worker: decides, starts the action, and answers at once without waiting for its end.

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
  /** Whether the herd is shutting down. */
  readonly draining: () => boolean
  readonly assignments: Assignments
  readonly admission: Pick<Admission, 'fullAt'>
  /** Queues messages published for the worker until its next run subscribes. */
  readonly hold: (runner: Runner) => void
  /** Whether files of the worker have changed since they were loaded. */
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
  if (fullAt !== undefined && needsLoad(command, runner)) {
    const message = `Cannot ${command.action} '${command.worker}': ${fullAt} workers are already waiting to load (admission.queue). Try again later.`
    return refuse(command, 429, 'BYRE_ADMISSION_FULL', message)
  }
  logCommand(command, deps)
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

/** Maximum number of commands logged one by one within LOG_WINDOW_MS. */
const LOGGED_MAX = 100
const LOG_WINDOW_MS = 10_000
const windows = new WeakMap<SupervisorLog, { startMs: number; count: number }>()

/**
 * Logs each command with its requester, one line per command even if it repeats. Beyond 100 in 10 s the log folds them like any
 * other line: it counts them by worker and action and logs the counts.
 */
function logCommand({ action, worker, by, id }: ControlCommand, { log, clock }: CommandDeps): void {
  const nowMs = clock.monotonic()
  let window = windows.get(log)
  if (window === undefined || nowMs - window.startMs >= LOG_WINDOW_MS) {
    window = { startMs: nowMs, count: 0 }
    windows.set(log, window)
  }
  const fields = { event: 'control', action, by, id }
  const kept = ++window.count <= LOGGED_MAX ? unfolded(fields) : fields
  log.about(worker, 'now').info(kept, `${action}, requested by ${by}`)
}

/** Whether the command would add one more start to the admission queue. */
function needsLoad({ action }: ControlCommand, runner: Runner): boolean {
  if (action === 'restart') return true
  if (action === 'move') return runner.live
  return (action === 'start' || action === 'wake') && !runner.live && !runner.pending
}

const STALE_CODE =
  'Its files have changed since they were loaded, and a restart in the same process runs the loaded code again. ' +
  'Restart the unit to run the new code.'

/** The old run ends before the new one begins; messages published meanwhile are queued. */
function move(command: ControlCommand, runner: Runner, deps: CommandDeps): ControlReply {
  const to = command.args?.to
  if (to === undefined)
    return refuse(command, 400, 'BYRE_ARGUMENT_INVALID', "Cannot move: 'args.to' is missing.")
  const { spec } = runner
  const why = immovable(spec, to)
  if (why !== undefined)
    return refuse(command, 409, 'BYRE_CONTROL_REFUSED', `Cannot move '${spec.name}' to ${to}: ${why}.`)
  if (deps.assignments.of(spec) === to) return accept(command, runner, `It is in ${to} already.`)
  deps.assignments.move(spec, to, 'hand', `requested by ${command.by}`)
  if (runner.live) {
    deps.hold(runner)
    runner.stop('move', { kind: 'start', wake: { by: 'manual', at: deps.clock.now() } })
  }
  return accept(command, runner)
}

/** Why `spec` cannot be moved to `to`; undefined when it can. */
function immovable(spec: ResolvedWorker, to: Placement): string | undefined {
  if (to === 'shared' && spec.source.kind === 'script')
    return 'a script has no run() to call in the shared loop'
  if (to !== 'process' && spec.cwd !== undefined) return "its 'cwd' needs a separate process"
  return undefined
}

function sleep(command: ControlCommand, runner: Runner, isShared: boolean): ControlReply {
  if (!runner.lazy) {
    const message = `Cannot put '${runner.name}' to sleep: it is eager, so nothing would wake it. Use stop.`
    return refuse(command, 409, 'BYRE_CONTROL_REFUSED', message)
  }
  runner.stop('sleep', { kind: 'sleep' })
  return accept(
    command,
    runner,
    isShared ? 'In placement shared the module stays loaded; only the run ends.' : undefined,
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
