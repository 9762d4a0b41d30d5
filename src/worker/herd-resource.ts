// ctx.use of a resource that is a module of its own: the worker's half, the same in every placement. It checks what is
// asked for, keeps the bounds and the deadlines, and makes the Remote; the value itself is at the other end of a port.

import { isAbsolute } from 'node:path'
import type { Timer } from '../base/clock.ts'
import { MAX_TIMER_MS } from '../base/clock.ts'
import { formatDurationMs, parseDurationMs } from '../base/durations.ts'
import { ByreError, refuse } from '../base/errors.ts'
import { stringify } from '../base/json.ts'
import { modulePath } from '../base/module-path.ts'
import { unknownKeys } from '../base/suggest.ts'
import type { ContextOwner } from './context.ts'
import type { HerdResource, Remote } from './contract.ts'
import { encodeCrossing, unpackThrown } from './crossing.ts'
import { FLIGHT_MAX } from './resources.ts'
import type { ResourceAnswer, ResourcePort, ResourceQuestion } from './resources.ts'

/** What the host tells of a value. */
export interface OpenedResource {
  readonly methods: readonly string[]
  /** Most bytes of the arguments of a call, and of its result. */
  readonly limitBytes: number
}

const KEY_MAX = 128
const PATH_MAX = 4096
const INPUT_MAX_BYTES = 65_536
const TIMEOUT_MS = 30_000

/** The Remote of `resource` for the run of `owner`. Rejects as contract.ts says. */
export async function useHerdResource<T extends object>(
  owner: ContextOwner,
  resource: HerdResource,
): Promise<Remote<T>> {
  const asked = resolve(resource)
  let hold = holds.get(owner)
  if (hold === undefined) {
    hold = new Hold(owner)
    holds.set(owner, hold)
    owner.onEnd(() => hold?.end())
  }
  return (await hold.use(asked)) as Remote<T>
}

const holds = new WeakMap<ContextOwner, Hold>()

interface ResolvedHerdResource {
  readonly key: string
  readonly path: string
  /** JSON text. */
  readonly input: string
  readonly timeoutMs: number
}

const KEYS: readonly (keyof HerdResource)[] = ['key', 'module', 'input', 'timeout']

/** Throws BYRE_ARGUMENT_INVALID with everything wrong at once, and for `input` as encodeCrossing does. */
function resolve(resource: HerdResource): ResolvedHerdResource {
  const { key, module, input = null, timeout = TIMEOUT_MS } = resource
  const problems = unknownKeys(resource, KEYS)
  if (typeof key !== 'string' || key === '' || key.length > KEY_MAX)
    problems.push({ path: 'key', message: `must be a text of 1 to ${KEY_MAX} characters` })
  const path = modulePath(String(module))
  if (path === undefined || !isAbsolute(path) || path.length > PATH_MAX) {
    const message = `must be a file: URL or an absolute path, got ${String(module).slice(0, 200)}. Write new URL('./db.js', import.meta.url)`
    problems.push({ path: 'module', message })
  }
  const timeoutMs = typeof timeout === 'string' ? parseDurationMs(timeout) : timeout
  if (!(typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= MAX_TIMER_MS)) {
    const message = `must be 1 to ${MAX_TIMER_MS} milliseconds or a duration like '5s', got ${String(timeout)}`
    problems.push({ path: 'timeout', message })
  }
  const what = `Cannot use resource '${String(key).slice(0, KEY_MAX)}'`
  refuse(what, problems)
  return {
    key,
    path: path as string,
    input: encodeCrossing(input, what, 'input', INPUT_MAX_BYTES),
    timeoutMs: timeoutMs as number,
  }
}

/** What one run holds of the herd's resources, and what it waits for. */
class Hold {
  readonly #owner: ContextOwner
  readonly #port: ResourcePort
  readonly #flight = new Flight()
  readonly #waiting = new Set<() => void>()
  #ended = false

  constructor(owner: ContextOwner) {
    this.#owner = owner
    this.#port = owner.host.herdResources(owner.name)
  }

  async use({ key, path, input, timeoutMs }: ResolvedHerdResource): Promise<object> {
    const what = `Cannot use resource '${key}'`
    const values = `${stringify(key)},${stringify(path)},${input}`
    const opened = (await this.#ask(what, 'open', values, timeoutMs)) as unknown as OpenedResource
    const remote = {}
    for (const method of opened.methods)
      Object.defineProperty(remote, method, {
        enumerable: true,
        value: async (...args: unknown[]) => {
          const call = `Cannot call '${method}' of resource '${key}'`
          const given = encodeCrossing(withoutTail(args), call, 'arguments', opened.limitBytes)
          return this.#ask(call, 'call', `${stringify(key)},${stringify(method)},${given}`, timeoutMs)
        },
      })
    return Object.freeze(remote)
  }

  /** The run has ended: nothing is awaited any more, and everything released. */
  end(): void {
    this.#ended = true
    for (const giveUp of this.#waiting) giveUp()
    this.#waiting.clear()
    this.#port.close()
  }

  /** Async, so that what it rejects with surfaces as the worker's and not as that of whoever answered. */
  async #ask(
    what: string,
    question: ResourceQuestion,
    values: string,
    timeoutMs: number,
  ): Promise<ResourceAnswer[0]> {
    if (this.#ended) throw this.#stopped(what)
    const land = this.#flight.enter(this.#owner.name, what, values.length)
    const asked = this.#port.ask(question, values)
    asked.then(land, land) // also when the caller has given up: it is still in the resource's hands
    const [result, thrown] = await this.#answered(asked, what, timeoutMs)
    if (thrown !== undefined) throw unpackThrown(thrown)
    return result
  }

  #answered(asked: Promise<ResourceAnswer>, what: string, timeoutMs: number): Promise<ResourceAnswer> {
    return new Promise((resolve, reject) => {
      const ended = (): void => {
        timer.cancel()
        reject(this.#stopped(what))
      }
      const settled = (): void => {
        timer.cancel()
        this.#waiting.delete(ended)
      }
      const timer: Timer = this.#owner.host.scheduler.after(timeoutMs, () => {
        this.#waiting.delete(ended)
        const message = `${what}: no answer within ${formatDurationMs(timeoutMs)}. It may still come to its end there; raise 'timeout', or see why it takes so long.`
        reject(new ByreError('BYRE_RESOURCE_TIMEOUT', message, { details: { timeoutMs } }))
      })
      this.#waiting.add(ended)
      asked.then(resolve, reject).finally(settled)
    })
  }

  #stopped(what: string): ByreError {
    return new ByreError(
      'BYRE_WORKER_STOPPED',
      `${what}: this run of worker '${this.#owner.name}' has ended, and what it used was released.`,
    )
  }
}

/** Most characters of the arguments of calls that wait for their answer. */
export const FLIGHT_LENGTH_MAX: number = 16 * 1024 * 1024

/** The calls of one worker that are under way. */
export class Flight {
  #count = 0
  #length = 0

  get empty(): boolean {
    return this.#count === 0
  }

  /** Returns what to call when it has landed. Throws BYRE_RESOURCE_BUSY; one call alone may have any length. */
  enter(worker: string, what: string, length: number): () => void {
    if (this.#count >= FLIGHT_MAX || (this.#count > 0 && this.#length + length > FLIGHT_LENGTH_MAX))
      throw new ByreError(
        'BYRE_RESOURCE_BUSY',
        `${what}: ${this.#count} calls of worker '${worker}' to resources, of ${this.#length} characters, wait for their answer already (at most ${FLIGHT_MAX} and ${FLIGHT_LENGTH_MAX}). Await them before making more.`,
        { details: { waiting: this.#count, limit: FLIGHT_MAX, length: this.#length } },
      )
    this.#count++
    this.#length += length
    return () => {
      this.#count--
      this.#length -= length
    }
  }
}

/** `f(1, undefined)` is `f(1)`. */
function withoutTail(args: readonly unknown[]): readonly unknown[] {
  let { length } = args
  while (length > 0 && args[length - 1] === undefined) length--
  return length === args.length ? args : args.slice(0, length)
}
