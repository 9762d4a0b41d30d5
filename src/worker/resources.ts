// Resources workers of one process share: created on first use, disposed after the last release.

import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import type { Resource } from './contract.ts'

/** A dispose that takes longer holds up the next create no more; it is reported. */
const DISPOSE_MS = 5000

export interface ResourcePool {
  /** The shared value; the same promise for everybody while it lives. A failed create is forgotten, so the next use
   *  tries again; a use after the last release waits for the dispose (at most 5 s) and creates anew. */
  acquire<T>(resource: Resource<T>): { readonly value: Promise<T>; readonly release: () => void }
  /** Resolves when no dispose is under way. */
  whenIdle(): Promise<void>
  /** Keys in use and their reference counts. */
  counts(): ReadonlyMap<string, number>
}

export interface ResourcePoolDeps {
  /** Runs create and dispose outside every worker's context, since no single worker owns the value. */
  readonly asNobody: <R>(fn: () => R) => R
  readonly clock: Clock
  readonly onDisposeError: (key: string, error: unknown) => void
}

interface Entry {
  readonly value: Promise<unknown>
  references: number
}

export function createResourcePool({ asNobody, clock, onDisposeError }: ResourcePoolDeps): ResourcePool {
  const entries = new Map<string, Entry>()
  const disposing = new Map<string, Promise<void>>()

  const create = (resource: Resource<unknown>): Entry => {
    const before = disposing.get(resource.key)
    const value = asNobody(async () => {
      await before
      return resource.create()
    })
    const entry = { value, references: 0 }
    entries.set(resource.key, entry)
    value.catch(() => {
      if (entries.get(resource.key) === entry) entries.delete(resource.key)
    })
    return entry
  }

  const dispose = async (resource: Resource<unknown>, entry: Entry): Promise<void> => {
    const [created] = await Promise.allSettled([entry.value])
    if (created.status === 'rejected') return // told to those who waited for it
    const late = deferred()
    const timer = clock.setTimer(DISPOSE_MS, () =>
      late.reject(new Error(`dispose has not ended after ${DISPOSE_MS} ms`)),
    )
    try {
      await Promise.race([resource.dispose?.(created.value), late.promise])
    } catch (error) {
      onDisposeError(resource.key, error)
    } finally {
      timer.cancel()
    }
  }

  const release = (resource: Resource<unknown>, entry: Entry): void => {
    if (--entry.references > 0) return
    if (entries.get(resource.key) === entry) entries.delete(resource.key)
    const done = asNobody(async () => dispose(resource, entry)).finally(() => {
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

function once(fn: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    fn()
  }
}
