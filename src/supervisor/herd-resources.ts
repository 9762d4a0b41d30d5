// Resources that are modules of their own: loaded once, in the supervisor's loop, and used by workers of every placement.
// Comes with the first ctx.use of one.

import { pathToFileURL } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { ByreError, describeThrown } from '../base/errors.ts'
import { parse, stringify } from '../base/json.ts'
import type { Json } from '../base/json.ts'
import type { Logger } from '../log/logger.ts'
import type { Resource, ResourceModule } from '../worker/contract.ts'
import { encodeCrossing, packThrown } from '../worker/crossing.ts'
import { Flight } from '../worker/herd-resource.ts'
import type { OpenedResource } from '../worker/herd-resource.ts'
import { fileOf } from '../worker/load.ts'
import type { ResourcePool, ResourceQuestion } from '../worker/resources.ts'
import { createResourceScope } from './resource-scope.ts'
import type { InScope } from './resource-scope.ts'

export interface HerdResourcesDeps {
  readonly pool: ResourcePool
  readonly log: Logger
  /** Most bytes of the arguments of a call, and of its result. */
  readonly limitBytes: number
}

type Methods = Readonly<Record<string, (...args: unknown[]) => unknown>>

/** A value that was made. */
interface Made {
  readonly value: Methods
  /** Known with the first answer to an open. */
  methods?: readonly string[]
  readonly module: ResourceModule<Methods>
  readonly inScope: InScope
  readonly end: () => void
}

/** What a worker asks for. */
interface Wanted {
  readonly key: string
  /** Where its path leads. */
  readonly file: string
  readonly input: Json
}

/** What goes by a key, for as long as somebody holds it. */
interface Known {
  readonly file: string
  readonly input: Json
  /** Who came first. */
  readonly worker: string
  readonly resource: Resource<Made>
  holders: number
}

/** Of a module that failed, this many fresh URLs are tried; each stays in memory. */
const RELOADS_MAX = 10
/** Of so many modules that failed it is known how often; one forgotten fails once more before it gets a fresh URL. */
const FAILED_MAX = 256
const METHODS_MAX = 1000
/** Most resources one run may hold. */
const HELD_MAX = 64
/** The language calls them by itself; see contract.ts. */
const NEVER = ['constructor', 'then', 'toJSON', 'toLocaleString', 'toString', 'valueOf']

export class HerdResources {
  readonly #deps: HerdResourcesDeps
  readonly #known = new Map<string, Known>()
  readonly #flights = new Map<string, Flight>()
  /** By file; who failed or was loaded again last comes last. */
  readonly #failedLoads = new Map<string, number>()

  constructor(deps: HerdResourcesDeps) {
    this.#deps = deps
  }

  /** For one run of `worker`. */
  enter(worker: string): HerdHold {
    return new HerdHold(worker, this)
  }

  get limitBytes(): number {
    return this.#deps.limitBytes
  }

  /** Of what is the same as is known by that key. */
  hold(worker: string, wanted: Wanted): Lease {
    const known = this.#known.get(wanted.key) ?? this.#define(worker, wanted)
    known.holders++
    const { value, release } = this.#deps.pool.acquire(known.resource)
    const lease: Lease = {
      made: undefined,
      value,
      release: () => {
        release()
        if (--known.holders === 0) this.#known.delete(wanted.key)
      },
    }
    value.then(
      (made) => (lease.made = made),
      () => {}, // told to who asked
    )
    return lease
  }

  /** Bounded by worker and not by run: what hangs in a resource would pile up with each restart. */
  flightOf(worker: string, what: string, length: number): () => void {
    const flight = this.#flights.get(worker) ?? new Flight()
    const land = flight.enter(worker, what, length)
    this.#flights.set(worker, flight)
    return () => {
      land()
      if (flight.empty) this.#flights.delete(worker)
    }
  }

  /** Throws BYRE_RESOURCE_CONFLICT when another resource goes by that key already. */
  assertSame(worker: string, { key, file, input }: Wanted): void {
    const known = this.#known.get(key)
    if (known === undefined || (known.file === file && isDeepStrictEqual(known.input, input))) return
    const differs =
      known.file === file
        ? `with another input than worker '${known.worker}' gave`
        : `from ${file}: worker '${known.worker}' uses it from ${known.file}`
    throw new ByreError(
      'BYRE_RESOURCE_CONFLICT',
      `Cannot use resource '${key}' in worker '${worker}' ${differs}. Give one of them another key.`,
      { details: { key, files: [known.file, file] } },
    )
  }

  #define(worker: string, { key, file, input }: Wanted): Known {
    const given = stringify(input)
    const resource: Resource<Made> = {
      key,
      create: async () => {
        const { log } = this.#deps
        // What the module sets up while it loads stays with it, as a worker's does; what the value sets up ends with it.
        const module = await this.#load(key, file, createResourceScope(log, key).inScope)
        const { inScope, end } = createResourceScope(log, key)
        try {
          const value = await inScope(async () => module.create(parse(given) as Json))
          return { value, module, inScope, end }
        } catch (error) {
          end() // nobody disposes of it, and the next use tries again
          throw error
        }
      },
      dispose: async ({ value, module, inScope, end }) => {
        try {
          await inScope(async () => module.dispose?.(value))
        } finally {
          end()
        }
      },
    }
    const known = { file, input, worker, resource, holders: 0 }
    this.#known.set(key, known)
    return known
  }

  async #load(key: string, file: string, inScope: InScope): Promise<ResourceModule<Methods>> {
    const failed = this.#failedLoads.get(file) ?? 0
    const url = pathToFileURL(file)
    if (failed > 0) {
      url.search = `byre=${failed}`
      this.#keepFailed(file, failed)
    }
    let module: Record<string, unknown>
    try {
      module = (await inScope(async () => import(url.href))) as Record<string, unknown>
    } catch (error) {
      this.#keepFailed(file, Math.min(failed + 1, RELOADS_MAX))
      const { type, message } = describeThrown(error)
      const text = `Cannot load resource '${key}' from ${file}: ${type}: ${message}`
      throw new ByreError('BYRE_RESOURCE_LOAD', text, { cause: error })
    }
    return shapeOf(module, key, file)
  }

  #keepFailed(file: string, times: number): void {
    this.#failedLoads.delete(file)
    this.#failedLoads.set(file, times)
    if (this.#failedLoads.size <= FAILED_MAX) return
    for (const oldest of this.#failedLoads.keys()) return void this.#failedLoads.delete(oldest)
  }
}

/** What one run holds of one resource. */
interface Lease {
  made: Made | undefined
  readonly value: Promise<Made>
  release(): void
}

/** One run's hold on the resources; answers what its worker asks. */
export class HerdHold {
  readonly #worker: string
  readonly #house: HerdResources
  readonly #leases = new Map<string, Lease>()
  #closed = false

  constructor(worker: string, house: HerdResources) {
    this.#worker = worker
    this.#house = house
  }

  /** A ResourceAnswer as JSON text. `length`: the characters of what was asked. Never rejects. */
  async ask(question: ResourceQuestion, values: readonly unknown[], length: number): Promise<string> {
    try {
      const [key, name, third] = values as [string, string, never]
      if (question === 'open') return `[${await this.#open(key, name, third)}]`
      return `[${await this.#call(key, name, third, length)}]`
    } catch (error) {
      return `[null,${stringify(packThrown(error))}]`
    }
  }

  close(): void {
    this.#closed = true
    for (const lease of this.#leases.values()) lease.release()
    this.#leases.clear()
  }

  async #open(key: string, path: string, input: Json): Promise<string> {
    if (this.#closed) throw this.#ended(`Cannot use resource '${key}'`)
    const wanted = { key, file: fileOf(path), input }
    this.#house.assertSame(this.#worker, wanted)
    let lease = this.#leases.get(key)
    if (lease === undefined) {
      if (this.#leases.size >= HELD_MAX) throw tooMany(key, this.#worker)
      lease = this.#house.hold(this.#worker, wanted)
      this.#leases.set(key, lease)
    }
    try {
      const made = await lease.value
      // Here and not in create: a value without methods is released below, and so disposed of as any other is.
      const methods = (made.methods ??= methodsOf(made.value, key, wanted.file))
      const opened: OpenedResource = { methods, limitBytes: this.#house.limitBytes }
      return stringify(opened)
    } catch (error) {
      if (this.#leases.get(key) === lease) {
        this.#leases.delete(key)
        lease.release()
      }
      throw error
    }
  }

  async #call(key: string, method: string, args: readonly unknown[], length: number): Promise<string> {
    const what = `Cannot call '${method}' of resource '${key}'`
    const made = this.#leases.get(key)?.made
    if (made?.methods?.includes(method) !== true) throw this.#ended(what)
    const land = this.#house.flightOf(this.#worker, what, length)
    try {
      return await made.inScope(async () => {
        const result = await Reflect.apply(made.value[method] as Methods[string], made.value, args)
        if (result === undefined) return ''
        return encodeCrossing(
          result,
          `Cannot return from '${method}' of resource '${key}'`,
          'its result',
          this.#house.limitBytes,
        )
      })
    } finally {
      land()
    }
  }

  #ended(what: string): ByreError {
    return new ByreError(
      'BYRE_WORKER_STOPPED',
      `${what}: this run of worker '${this.#worker}' does not hold it.`,
    )
  }
}

function tooMany(key: string, worker: string): ByreError {
  return new ByreError(
    'BYRE_RESOURCE_BUSY',
    `Cannot use resource '${key}': this run of worker '${worker}' holds ${HELD_MAX} resources already, which is the most. They are released when it ends.`,
  )
}

function shapeOf(module: Record<string, unknown>, key: string, file: string): ResourceModule<Methods> {
  // A CommonJS module arrives as the default export.
  const fallback = module['default'] as Record<string, unknown> | null | undefined
  const found = typeof module['create'] === 'function' ? module : fallback
  if (typeof found === 'object' && typeof found?.['create'] === 'function')
    return found as unknown as ResourceModule<Methods>
  const names = Object.keys(module).join(', ') || '(none)'
  throw badShape(key, `${file} must export a function 'create', got exports ${names.slice(0, 200)}`)
}

/** Own and inherited, but for those of Object and what is no method: symbols, getters. */
function methodsOf(value: unknown, key: string, file: string): readonly string[] {
  if (typeof value !== 'object' || value === null)
    throw badShape(
      key,
      `create of ${file} must give an object with methods, got ${value === null ? 'null' : typeof value}`,
    )
  const seen = new Set<string>(NEVER)
  const methods: string[] = []
  for (let at: object | null = value; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at))
    for (const name of Object.getOwnPropertyNames(at)) {
      if (seen.has(name)) continue
      seen.add(name)
      if (typeof Object.getOwnPropertyDescriptor(at, name)?.value === 'function') methods.push(name)
    }
  if (methods.length > 0 && methods.length <= METHODS_MAX) return methods
  throw badShape(
    key,
    `what create of ${file} gives must have 1 to ${METHODS_MAX} methods, got ${methods.length}`,
  )
}

function badShape(key: string, fact: string): ByreError {
  const remedy = 'Export create(input), which gives an object with methods, and dispose(value).'
  return new ByreError('BYRE_RESOURCE_SHAPE', `Cannot use resource '${key}': ${fact}. ${remedy}`)
}
