// A ControlTarget without a supervisor: it records the commands it receives, and the test pushes transitions.
import { EventEmitter } from 'node:events'
import type { LogFn, Logger } from '../../src/log/logger.ts'
import { STATUS_VERSION } from '../../src/herd/status.ts'
import type {
  ControlCommand,
  ControlReply,
  ControlTarget,
  SupervisorStatus,
  TransitionEvent,
  WorkerStatus,
} from '../../src/herd/status.ts'

export interface FakeTarget extends ControlTarget {
  /** Commands that reached act(), in order. */
  readonly commands: ControlCommand[]
  /** Sets what status() returns from now on. */
  current: SupervisorStatus
  /** How often status() was called. */
  statusCalls: number
  /** The current transition listeners. */
  readonly listeners: () => number
  emit(event: Partial<TransitionEvent>): void
}

export function worker(name: string, more: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    name,
    state: 'running',
    placement: 'shared',
    activation: 'eager',
    restarts: 0,
    failures: 0,
    wakes: 0,
    ...more,
  }
}

export function supervisorStatus(
  workers: readonly WorkerStatus[],
  more: Partial<SupervisorStatus> = {},
): SupervisorStatus {
  return {
    version: STATUS_VERSION,
    host: 'host',
    herd: 'shop',
    group: 'batch',
    pid: process.pid,
    startedAt: 1_700_000_000_000,
    bus: { kind: 'embedded', connections: 0 },
    process: { rssBytes: 60_000_000, heapUsedBytes: 9_000_000, cpuRatio: 0.01 },
    phases: { readyMs: 300 },
    workers,
    ...more,
  }
}

export function fakeTarget(
  workers: readonly WorkerStatus[] = [worker('webhook'), worker('mail')],
): FakeTarget {
  const emitter = new EventEmitter().setMaxListeners(0)
  const target: FakeTarget = {
    commands: [],
    current: supervisorStatus(workers),
    statusCalls: 0,
    status() {
      target.statusCalls++
      return Promise.resolve(target.current)
    },
    act(command) {
      target.commands.push(command)
      return reply(target.current, command)
    },
    onTransition(listener) {
      emitter.on('transition', listener)
      return () => emitter.off('transition', listener)
    },
    listeners: () => emitter.listenerCount('transition'),
    emit: (event) =>
      emitter.emit('transition', {
        v: 1,
        ts: 1,
        worker: 'webhook',
        from: 'running',
        to: 'stopping',
        reason: 'asked',
        ...event,
      }),
  }
  return target
}

function reply(status: SupervisorStatus, command: ControlCommand): ControlReply {
  const { id, worker: name } = command
  if (!status.workers.some((w) => w.name === name)) {
    const error = {
      code: 'BYRE_WORKER_UNKNOWN',
      message: `Cannot ${command.action} worker '${name}': unknown.`,
    }
    return { status: 404, body: { v: 1, id, ok: false, error } }
  }
  return { status: 202, body: { v: 1, id, ok: true, worker: name, state: 'stopping' } }
}

export interface LogLine {
  readonly level: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

/** A logger that keeps its lines. */
export function memoryLog(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const at =
    (level: string): LogFn =>
    (first: object | string, message?: unknown) => {
      const fields = typeof first === 'string' ? {} : (first as Record<string, unknown>)
      lines.push({
        level,
        fields,
        message: typeof first === 'string' ? first : typeof message === 'string' ? message : '',
      })
    }
  const log = {
    level: 'info' as const,
    lines,
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: () => log,
  }
  return log
}
