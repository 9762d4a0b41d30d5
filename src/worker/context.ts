// Builds the ctx a worker's run() receives, from the parts its placement provides.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../base/clock.ts'
import { ByreError } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { Bus } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'
import type { Resource, Wake, WorkerContext } from './contract.ts'
import { startPeriod } from './every.ts'
import type { Offloader } from './offload.ts'
import type { ResourcePool } from './resources.ts'

export interface ContextParts {
  readonly name: string
  readonly config: Json
  /** The worker's own `env`. */
  readonly env: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  readonly log: Logger
  readonly wake: Wake
  readonly bus: Bus
  readonly resources: ResourcePool
  readonly offloader: Offloader
  readonly scheduler: Scheduler
  readonly monotonic: () => number
  readonly random: Random
  readonly onReady: () => void
  /** Runs `fn` as the worker; what it throws or rejects with is charged to it. Never rejects. */
  readonly runAs: (via: string, fn: () => unknown) => Promise<void>
  /** Kept until the run ends, then called once, last first. */
  readonly onEnd: (release: () => void) => void
}

export function createContext(parts: ContextParts): WorkerContext {
  let env: WorkerContext['env'] | undefined
  return Object.freeze({
    name: parts.name,
    config: deepFreeze(JSON.parse(JSON.stringify(parts.config)) as Json),
    get env() {
      env ??= Object.freeze({ ...process.env, ...parts.env })
      return env
    },
    signal: parts.signal,
    log: parts.log,
    wake: parts.wake,
    bus: parts.bus,
    ready: parts.onReady,
    credential: (name: string) => readCredential(parts.name, name),
    use: async <T>(resource: Resource<T>) => {
      assertLive(parts)
      const lease = parts.resources.acquire(resource)
      parts.onEnd(lease.release)
      return lease.value
    },
    offload: async <T>(moduleUrl: string | URL, input: unknown, options?: { signal?: AbortSignal }) => {
      assertLive(parts)
      const signal =
        options?.signal === undefined ? parts.signal : AbortSignal.any([options.signal, parts.signal])
      return parts.offloader.run<T>(moduleUrl, input, { signal })
    },
    every: (
      period: number | string,
      fn: () => unknown,
      options: { jitter?: number; immediate?: boolean } = {},
    ) => {
      assertLive(parts)
      const release = startPeriod(period, options, {
        scheduler: parts.scheduler,
        monotonic: parts.monotonic,
        random: parts.random,
        tick: async () => parts.runAs('ctx.every', fn),
      })
      parts.onEnd(release)
      return release
    },
  }) as WorkerContext
}

/** An ended run gets nothing new: it would never be released. */
function assertLive(parts: ContextParts): void {
  if (!parts.signal.aborted) return
  throw new ByreError(
    'BYRE_WORKER_STOPPED',
    `Cannot use ctx of worker '${parts.name}': its signal has aborted (${String((parts.signal.reason as Error).message)}). Return from run() instead.`,
  )
}

function readCredential(worker: string, name: string): Buffer {
  const folder = process.env['CREDENTIALS_DIRECTORY']
  if (!/^[A-Za-z0-9_.-]{1,255}$/.test(name) || name.startsWith('.')) {
    throw new ByreError(
      'BYRE_ARGUMENT_INVALID',
      `Cannot read credential '${name}': a name has letters, digits, '_', '-' and '.' only.`,
    )
  }
  const missing = (cause?: unknown): ByreError =>
    new ByreError(
      'BYRE_CREDENTIAL_MISSING',
      `Cannot read credential '${name}' for worker '${worker}': ${folder === undefined ? '$CREDENTIALS_DIRECTORY is not set' : `no file in ${folder}`}. Add LoadCredential=${name}:PATH to the unit.`,
      { cause },
    )
  if (folder === undefined) throw missing()
  try {
    return readFileSync(join(folder, name))
  } catch (error) {
    throw missing(error)
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}
