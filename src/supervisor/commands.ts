// What a control command does to a worker: decides, starts it, answers at once.

import { assertNever } from '../base/check.ts'
import type { Clock } from '../base/clock.ts'
import type { Runner } from './runner.ts'
import type { ControlCommand, ControlReply } from './status.ts'
import type { SupervisorLog } from './options.ts'

export interface CommandDeps {
  readonly runnerOf: (worker: string) => Runner | undefined
  readonly workers: () => readonly string[]
  readonly log: SupervisorLog
  readonly clock: Clock
  /** The herd is going down. */
  readonly draining: () => boolean
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
  deps.log.root.info(
    { event: 'control', action: command.action, worker: command.worker, by: command.by, id: command.id },
    'control command',
  )
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
      return accept(command, runner, stale && runner.spec.placement === 'shared' ? STALE_CODE : undefined)
    }
    case 'sleep':
      return sleep(command, runner)
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
      runner.setLevel(level)
      return accept(command, runner)
    }
    case 'move':
      return refuse(
        command,
        409,
        'BYRE_UNSUPPORTED',
        `Cannot move '${runner.name}': this version hosts every worker in 'shared'. Set its group in the config, or run it alone with byre run.`,
      )
    default:
      return assertNever(command.action)
  }
}

const STALE_CODE =
  'Its files changed since they were loaded, and a restart in the same process runs the loaded code again. ' +
  'Restart the unit for the new code.'

function sleep(command: ControlCommand, runner: Runner): ControlReply {
  if (!runner.lazy) {
    const message = `Cannot put '${runner.name}' to sleep: it is eager, so nothing would wake it. Use stop.`
    return refuse(command, 409, 'BYRE_CONTROL_REFUSED', message)
  }
  runner.stop('sleep', { kind: 'rest' })
  const stays = runner.spec.placement === 'shared'
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
  status: 400 | 404 | 409,
  code: string,
  message: string,
): ControlReply {
  return { status, body: { v: 1, id: command.id, ok: false, error: { code, message } } }
}
