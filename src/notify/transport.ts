// How sd_notify messages leave. Node has no datagram Unix sockets, so units/byre-notify.pl opens the socket before it
// becomes node and leaves it as descriptor $SD_NOTIFY_FD: a write of some microseconds from the unit's main process, which
// is what NotifyAccess=main wants. Without it each message costs a `systemd-notify` process (some 10 ms; as non-root it
// needs NotifyAccess=all); without that there is nothing. Each step down is told in one log line.

import { fstatSync, writeSync } from 'node:fs'
import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { BIGINT } from '../base/stat.ts'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import { formatNotify, mergeNotify } from './sd-notify.ts'
import type { NotifyState } from './sd-notify.ts'

export interface NotifyOptions {
  /** Read, and rid of what only the main process may use (see openNotify). Usually process.env. */
  readonly env: Record<string, string | undefined>
  readonly log: Logger
  readonly clock?: Clock
}

export type NotifyKind = 'fd' | 'command' | 'none'

export interface Notify {
  /** How messages leave now; only ever steps down. */
  readonly kind: NotifyKind
  /** Never throws, never waits. While the manager's queue is full, or a `systemd-notify` runs, messages are merged into one. */
  send(state: NotifyState): void
  /** True once everything has left (or nothing can); false after `timeoutMs`. */
  flush(timeoutMs: number): Promise<boolean>
}

/**
 * Opens what the environment offers. Removes NOTIFY_SOCKET and SD_NOTIFY_FD from `env`, as sd_notify(3) does with
 * unset_environment: workers and their children must not speak for the unit. Without NOTIFY_SOCKET (not under
 * Type=notify) it is 'none', without a word.
 */
export function openNotify(options: NotifyOptions): Notify {
  const { env, log, clock = systemClock } = options
  const { NOTIFY_SOCKET: socket, SD_NOTIFY_FD: fd, PATH: path } = env
  delete env['NOTIFY_SOCKET']
  delete env['SD_NOTIFY_FD']
  if (socket === undefined || socket === '') return createNotify(undefined, undefined, clock, log)
  const command = commandWriter(socket, path)
  const direct = fdWriter(fd)
  if (direct === undefined)
    log.warn(
      { event: 'notify-degraded', to: 'command' },
      'no SD_NOTIFY_FD: each message is a systemd-notify process, which as non-root needs NotifyAccess=all (better: start byre through units/byre-notify.pl)',
    )
  return createNotify(direct, command, clock, log)
}

/** 'sent', 'full' (try again), or why this way is closed for good. */
type Sent = 'sent' | 'full' | { readonly broken: string }

function fdWriter(value: string | undefined): ((message: string) => Sent) | undefined {
  const fd = Number(value)
  if (value === undefined || !/^\d{1,5}$/.test(value) || !isSocket(fd)) return undefined
  return (message) => {
    try {
      writeSync(fd, message)
      return 'sent'
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // ENOBUFS: the kernel is out of socket memory for now
      return code === 'EAGAIN' || code === 'ENOBUFS' ? 'full' : { broken: describeThrown(error).message }
    }
  }
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd, BIGINT).isSocket()
  } catch {
    return false
  }
}

type Command = (message: string) => Promise<string | undefined>

/** Runs `systemd-notify`; gives why it failed, or undefined. Killed after 2 s. */
function commandWriter(socket: string, path = '/usr/bin:/bin'): Command {
  return async (message) => {
    const { execFile } = await import('node:child_process')
    const env = { NOTIFY_SOCKET: socket, PATH: path }
    return new Promise((resolve) => {
      const child = execFile(
        'systemd-notify',
        message.split('\n'),
        { env, timeout: 2000 },
        (error, _, stderr) => resolve(error === null ? undefined : stderr.trim() || error.message),
      )
      child.unref()
    })
  }
}

const RETRY_MS = 50

function createNotify(
  direct: ((message: string) => Sent) | undefined,
  command: Command | undefined,
  clock: Clock,
  log: Logger,
): Notify {
  let kind: NotifyKind = direct !== undefined ? 'fd' : command !== undefined ? 'command' : 'none'
  let pending: NotifyState | undefined
  let timer: Timer | undefined
  let running = false
  let waiting: (() => void)[] = []

  const stepDown = (to: NotifyKind, reason: string): void => {
    log.warn({ event: 'notify-degraded', from: kind, to, reason }, DEGRADED[to])
    kind = to
  }
  const text = (state: NotifyState): string => formatNotify(state, process.hrtime.bigint() / 1000n)
  const take = (): NotifyState => {
    const state = pending ?? {}
    pending = undefined
    return state
  }
  const idle = (): void => {
    const wake = waiting
    waiting = []
    for (const fn of wake) fn()
  }
  const later = (state: NotifyState): void => {
    pending = pending === undefined ? state : mergeNotify(state, pending)
    timer ??= clock.setTimer(RETRY_MS, retry, { unref: true })
  }
  const retry = (): void => {
    timer = undefined
    pump()
  }
  const runCommand = async (state: NotifyState): Promise<void> => {
    running = true
    const failure = await command?.(text(state))
    running = false
    if (failure !== undefined) stepDown('none', failure)
    pump()
  }
  const pump = (): void => {
    while (pending !== undefined && !running && timer === undefined) {
      const state = take()
      if (kind === 'none' || text(state) === '') continue
      if (kind === 'command') {
        void runCommand(state)
        return
      }
      const sent = direct!(text(state))
      if (sent === 'full') later(state)
      else if (sent !== 'sent') {
        stepDown('command', sent.broken)
        pending = state
      }
    }
    if (pending === undefined && !running) idle()
  }
  return {
    get kind() {
      return kind
    },
    send(state) {
      if (kind === 'none') return
      pending = pending === undefined ? state : mergeNotify(pending, state)
      pump()
    },
    flush(timeoutMs) {
      if (pending === undefined && !running) return Promise.resolve(true)
      return new Promise((resolve) => {
        const deadline = clock.setTimer(timeoutMs, () => resolve(false))
        waiting.push(() => {
          deadline.cancel()
          resolve(true)
        })
      })
    },
  }
}

const DEGRADED: Readonly<Record<NotifyKind, string>> = {
  fd: '',
  command:
    'the sd_notify socket is broken: each message is a systemd-notify process from now on (as non-root it needs NotifyAccess=all)',
  none: 'systemd-notify failed: the service manager is told nothing from now on',
}
