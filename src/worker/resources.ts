// Resources workers of one process share: created on first use, disposed after the last release.

import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { ByreError } from '../base/errors.ts'
import type { Resource } from './contract.ts'

/** After the last release a create or dispose that takes longer holds up the next create no more; it is reported. */
const DISPOSE_MS = 5000

export interface ResourcePool {
  /** The shared value; the same promise for everybody while it lives. A failed create is forgotten, so the next use
   *  tries again; a use after the last release waits for the dispose (at most 5 s) and creates anew, unless it was
   *  released meanwhile: then nothing is created, and it rejects with BYRE_WORKER_STOPPED. */
  acquire<T>(resource: Resource<T>): { readonly value: Promise<T>; readonly release: () => void }
  /** Resolves when no dispose is under way. */
  whenIdle(): Promise<void>
  /** Keys in use and their reference counts. */
  counts(): ReadonlyMap<string, number>
}

export interface ResourcePoolDeps {
  /** Runs create and dispose outside every worker's context, since no single worker owns the value. */
  readonly runDetached: <R>(fn: () => R) => R
  readonly clock: Clock
  readonly onDisposeError: (key: string, error: unknown) => void
}

interface Entry {
  readonly value: Promise<unknown>
  references: number
}

export function createResourcePool({ runDetached, clock, onDisposeError }: ResourcePoolDeps): ResourcePool {
  const entries = new Map<string, Entry>()
  const disposing = new Map<string, Promise<void>>()

  const create = (resource: Resource<unknown>): Entry => {
    const before = disposing.get(resource.key)
    const value = runDetached(async () => {
      await before
      // So a create that begins is held, and the 5 s after its release are its own, not those of the wait.
      if (entry.references === 0) throw unwanted(resource.key)
      return resource.create()
    })
    const entry: Entry = { value, references: 0 }
    entries.set(resource.key, entry)
    value.catch(() => {
      if (entries.get(resource.key) === entry) entries.delete(resource.key)
    })
    return entry
  }

  const dispose = async (resource: Resource<unknown>, entry: Entry): Promise<void> => {
    const late = deferred()
    let what = 'create'
    const timer = clock.setTimer(DISPOSE_MS, () => {
      onDisposeError(resource.key, new Error(`${what} has not ended after ${DISPOSE_MS} ms`))
      late.resolve()
    })
    // A create that nobody waits for any more may still give something: it is disposed of whenever it comes.
    const done = entry.value.then(
      async (value) => {
        what = 'dispose'
        await resource.dispose?.(value)
      },
      () => {}, // told to those who waited for it
    )
    const told = done.catch((error: unknown) => onDisposeError(resource.key, error))
    await Promise.race([told, late.promise])
    timer.cancel()
  }

  const release = (resource: Resource<unknown>, entry: Entry): void => {
    if (--entry.references > 0) return
    if (entries.get(resource.key) === entry) entries.delete(resource.key)
    const done = runDetached(async () => dispose(resource, entry)).finally(() => {
      if (disposing.get(resource.key) === done) disposing.delete(resource.key)
    })
    disposing.set(resource.key, done)
  }

  return {
    acquire<T>(resource: Resource<T>) {
      const entry = entries.get(resource.key) ?? create(resource as Resource<unknown>)
      entry.references++
      return {
        value: entry.value as Promise<T>,
        release: once(() => release(resource as Resource<unknown>, entry)),
      }
    },
    async whenIdle() {
      await Promise.all(disposing.values())
    },
    counts: () => new Map([...entries].map(([key, entry]) => [key, entry.references])),
  }
}

function unwanted(key: string): ByreError {
  return new ByreError(
    'BYRE_WORKER_STOPPED',
    `Cannot use resource '${key}': everybody who asked for it had released it before it could be created.`,
  )
}

function once(fn: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    fn()
  }
}
