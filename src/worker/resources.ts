// The pool of resources that the workers of a process share: each is created on first use and disposed after the last
// release.

import type { Clock } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { ByreError } from '../base/errors.ts'
import type { Resource } from './contract.ts'

/** After the last release, a create or dispose that takes longer is reported and no longer delays the next create. */
const DISPOSE_TIMEOUT_MS = 5000

export interface ResourcePool {
  /** Returns the shared value: the same promise for all users while the resource exists. After a failed create, the next use
   *  tries again. A use after the last release waits for the dispose (at most 5 s) and then creates a new value. If it is
   *  released during that wait, nothing is created and it rejects with BYRE_WORKER_STOPPED. */
  acquire<T>(resource: Resource<T>): { readonly value: Promise<T>; readonly release: () => void }
  /** Resolves when no dispose is in progress. */
  whenIdle(): Promise<void>
}

interface Entry {
  readonly value: Promise<unknown>
  references: number
}

export function createResourcePool({
  runDetached,
  clock,
  onDisposeError,
}: {
  /** Runs create and dispose outside every worker's context, since no single worker owns the value. */
  readonly runDetached: <R>(fn: () => R) => R
  readonly clock: Clock
  readonly onDisposeError: (key: string, error: unknown) => void
}): ResourcePool {
  const entries = new Map<string, Entry>()
  const disposing = new Map<string, Promise<void>>()

  const create = (resource: Resource<unknown>): Entry => {
    const previousDispose = disposing.get(resource.key)
    const value = runDetached(async () => {
      await previousDispose
      // A create starts only while the resource is in use, so the 5 s after its release do not include the wait.
      if (entry.references === 0) throw releasedBeforeCreate(resource.key)
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
    const timedOut = deferred()
    let step = 'create'
    const timer = clock.setTimer(DISPOSE_TIMEOUT_MS, () => {
      onDisposeError(resource.key, new Error(`${step} has not ended after ${DISPOSE_TIMEOUT_MS} ms`))
      timedOut.resolve()
    })
    // A create without remaining users may still return a value: it is disposed as soon as it exists.
    const done = entry.value.then(
      async (value) => {
        step = 'dispose'
        await resource.dispose?.(value)
      },
      () => {}, // The users that waited for it receive the error.
    )
    const reported = done.catch((error: unknown) => onDisposeError(resource.key, error))
    await Promise.race([reported, timedOut.promise])
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
  }
}

function releasedBeforeCreate(key: string): ByreError {
  return new ByreError(
    'BYRE_WORKER_STOPPED',
    `Cannot use resource '${key}': all its users released it before it was created.`,
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
