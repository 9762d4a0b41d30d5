// Sends sd_notify messages. Node has no datagram Unix sockets, so units/byre-notify.pl opens the socket, passes it as
// descriptor $SD_NOTIFY_FD and executes node. A message is then a write of a few microseconds from the unit's main process,
// as NotifyAccess=main requires. Without the descriptor each message costs a `systemd-notify` process (about 10 ms; as
// non-root it needs NotifyAccess=all); when that fails too, no messages are sent. Each fallback is logged once.

import { fstatSync, writeSync } from 'node:fs'
import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { BIGINT } from '../base/stat.ts'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import { formatNotify, mergeNotify } from './sd-notify.ts'
import type { NotifyState } from './sd-notify.ts'

export interface NotifyOptions {
  /** The environment to read; openNotify removes the notify variables from it. Usually process.env. */
  readonly env: Record<string, string | undefined>
  readonly log: Logger
  readonly clock?: Clock
}

export type NotifyKind = 'fd' | 'command' | 'none'

export interface Notify {
  /** The current transport. It changes only from 'fd' to 'command' to 'none'. */
  readonly kind: NotifyKind
  /** Never throws, never blocks. While the manager's queue is full or a `systemd-notify` runs, messages are merged into one. */
  send(state: NotifyState): void
  /** Resolves true when everything is sent (or the transport is 'none'), false after `timeoutMs`. */
  flush(timeoutMs: number): Promise<boolean>
}

/**
 * Opens the transport that the environment provides. Removes NOTIFY_SOCKET and SD_NOTIFY_FD from `env`, like sd_notify(3)
 * with unset_environment: workers and their child processes must not send messages for the unit. Without NOTIFY_SOCKET (not
 * under Type=notify) the kind is 'none', and nothing is logged.
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
      'SD_NOTIFY_FD is missing: each message starts a systemd-notify process, which as non-root needs NotifyAccess=all. Start byre through units/byre-notify.pl instead.',
    )
  return createNotify(direct, command, clock, log)
}

/** 'sent', 'full' (retry), or why the descriptor is unusable. */
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
      // ENOBUFS: the kernel is temporarily out of socket memory
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

/** Runs `systemd-notify`, with a timeout of 2 s. Resolves with the reason when it failed, else undefined. */
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

  const fallBack = (to: NotifyKind, reason: string): void => {
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
    if (failure !== undefined) fallBack('none', failure)
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
        fallBack('command', sent.broken)
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
    'the sd_notify socket failed: each message now starts a systemd-notify process, which as non-root needs NotifyAccess=all',
  none: 'systemd-notify failed: the service manager is no longer notified',
}
