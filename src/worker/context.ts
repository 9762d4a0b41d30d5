// Builds the ctx that run() of a worker receives.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../base/clock.ts'
import { ByreError, refuse } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { Scheduler } from '../base/scheduler.ts'
import { unknownKeys } from '../base/suggest.ts'
import type { Bus } from '../bus/bus.ts'
import type { Logger } from '../log/logger.ts'
import type { OffloadOptions, Resource, Wake, WorkerContext } from './contract.ts'
import { startPeriod } from './every.ts'
import type { Offloader } from './offload.ts'
import type { ResourcePool } from './resources.ts'

/** The services that all contexts of a process share. */
export interface ContextServices {
  readonly resources: ResourcePool
  readonly offloader: Offloader
  readonly scheduler: Scheduler
  readonly monotonic: () => number
  readonly random: Random
}

/** The run that a ctx belongs to. */
export interface ContextOwner {
  readonly name: string
  /** The first ctx that receives it freezes it deeply. */
  readonly config: Json
  /** The `env` of the worker's config entry. */
  readonly env: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  readonly log: Logger
  readonly wake: Wake
  readonly fence?: number | undefined
  readonly bus: Bus
  readonly services: ContextServices
  onReady(): void
  /** Runs `fn` in the worker's context and charges its errors to the worker. Never rejects. */
  runAs(via: string, fn: () => unknown): Promise<void>
  /** Registers a function to call once when the run ends, in reverse order. Calls it at once when the run has ended. */
  onEnd(release: () => void): void
}

export function createContext(owner: ContextOwner): WorkerContext {
  return new Context(owner) as unknown as WorkerContext
}

const LATE: unique symbol = Symbol('byre.ctx.late')

/**
 * Everything is an own property, since a worker may spread or wrap its ctx, and no method needs a receiver (`{ ready } =
 * ctx`). Members that few workers use are created on first use, by getters that all contexts share. With separate getters
 * for each ctx, V8 would store it as a dictionary, which takes 0.9 KB more.
 */
class Context {
  readonly name: string
  readonly config: Json
  readonly signal: AbortSignal
  readonly log: Logger
  readonly wake: Wake
  readonly bus: Bus
  readonly [LATE]: Late

  constructor(owner: ContextOwner) {
    this.name = owner.name
    this.config = deepFreeze(owner.config)
    this.signal = owner.signal
    this.log = owner.log
    this.wake = owner.wake
    this.bus = owner.bus
    this[LATE] = new Late(owner)
    if (owner.fence !== undefined)
      Object.defineProperty(this, 'fence', { value: owner.fence, enumerable: true })
    Object.defineProperties(this, GETTERS)
    Object.freeze(this)
  }
}

/** The members of a ctx that are created on first use. */
class Late {
  readonly owner: ContextOwner
  env: WorkerContext['env'] | undefined
  ready: WorkerContext['ready'] | undefined
  credential: WorkerContext['credential'] | undefined
  use: WorkerContext['use'] | undefined
  offload: WorkerContext['offload'] | undefined
  every: WorkerContext['every'] | undefined

  constructor(owner: ContextOwner) {
    this.owner = owner
    this.env = undefined
    this.ready = undefined
    this.credential = undefined
    this.use = undefined
    this.offload = undefined
    this.every = undefined
  }
}

type LateName = Exclude<keyof Late, 'owner'>

const MAKERS: { readonly [K in LateName]: (owner: ContextOwner) => NonNullable<Late[K]> } = {
  env: (owner) => Object.freeze({ ...process.env, ...owner.env }),
  ready: (owner) => () => owner.onReady(),
  credential: (owner) => (name) => readCredential(owner.name, name),
  use:
    (owner) =>
    async <T>(resource: Resource<T>) => {
      assertLive(owner)
      const lease = owner.services.resources.acquire(resource)
      owner.onEnd(lease.release)
      return lease.value
    },
  offload:
    (owner) =>
    async <T>(moduleUrl: string | URL, input: unknown, options?: OffloadOptions) => {
      assertLive(owner)
      const known: (keyof OffloadOptions)[] = ['signal']
      refuse(`Cannot offload to '${String(moduleUrl)}'`, unknownKeys(options, known))
      const own = owner.signal
      const signal = options?.signal === undefined ? own : AbortSignal.any([options.signal, own])
      return owner.services.offloader.run<T>(moduleUrl, input, { signal })
    },
  every:
    (owner) =>
    (period, fn, options = {}) => {
      assertLive(owner)
      const { scheduler, monotonic, random } = owner.services
      const tick = async (): Promise<void> => owner.runAs('ctx.every', fn)
      const release = startPeriod(period, options, { scheduler, monotonic, random, tick })
      owner.onEnd(release)
      return release
    },
}

const GETTERS: PropertyDescriptorMap = {
  ...Object.fromEntries((Object.keys(MAKERS) as LateName[]).map((name) => [name, getter(name)])),
  [LATE]: { enumerable: false },
}

function getter(name: LateName): PropertyDescriptor {
  return {
    enumerable: true,
    get(this: Context) {
      const late = this[LATE] as Record<LateName, unknown> & { readonly owner: ContextOwner }
      return (late[name] ??= MAKERS[name](late.owner))
    },
  }
}

/** Refuses a run that has ended: what it acquires now would never be released. */
function assertLive(owner: ContextOwner): void {
  if (!owner.signal.aborted) return
  throw new ByreError(
    'BYRE_WORKER_STOPPED',
    `Cannot use ctx of worker '${owner.name}': its signal has aborted (${String((owner.signal.reason as Error).message)}). Return from run() instead.`,
  )
}

function readCredential(worker: string, name: string): Buffer {
  const folder = process.env['CREDENTIALS_DIRECTORY']
  if (!/^[A-Za-z0-9_.-]{1,255}$/.test(name) || name.startsWith('.')) {
    throw new ByreError(
      'BYRE_ARGUMENT_INVALID',
      `Cannot read credential '${name}': a name may contain only letters, digits, '_', '-' and '.', and must not begin with '.'.`,
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

/** JSON is a tree: a frozen value was frozen completely, for an earlier run. */
function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}
