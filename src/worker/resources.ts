// Resources workers of one process share: created on first use, disposed after the last release.

import type { Resource } from './contract.ts'

export interface ResourcePool {
  /** The shared value; the same promise for everybody while it lives. A failed create is forgotten, so the next use tries again. */
  acquire<T>(resource: Resource<T>): { readonly value: Promise<T>; readonly release: () => void }
  /** Keys in use and their reference counts. */
  counts(): ReadonlyMap<string, number>
}

interface Entry {
  readonly value: Promise<unknown>
  references: number
}

/** `asNobody` runs create and dispose outside every worker's context, since no single worker owns the value. */
export function createResourcePool(
  asNobody: <R>(fn: () => R) => R,
  onDisposeError: (key: string, error: unknown) => void,
): ResourcePool {
  const entries = new Map<string, Entry>()
  return {
    acquire<T>(resource: Resource<T>) {
      let entry = entries.get(resource.key)
      if (entry === undefined) {
        entry = { value: asNobody(async () => resource.create()), references: 0 }
        entries.set(resource.key, entry)
        const created = entry
        created.value.catch(() => {
          if (entries.get(resource.key) === created) entries.delete(resource.key)
        })
      }
      entry.references++
      return {
        value: entry.value as Promise<T>,
        release: once(() => release(resource as Resource<unknown>, entry)),
      }
    },
    counts: () => new Map([...entries].map(([key, entry]) => [key, entry.references])),
  }

  function release(resource: Resource<unknown>, entry: Entry): void {
    if (--entry.references > 0) return
    if (entries.get(resource.key) === entry) entries.delete(resource.key)
    void asNobody(async () => {
      const [created] = await Promise.allSettled([entry.value])
      if (created.status === 'rejected') return // told to those who waited for it
      try {
        await resource.dispose?.(created.value)
      } catch (error) {
        onDisposeError(resource.key, error)
      }
    })
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
