// The memory of a host's whole tree, as one run's values.
import { readTreeMemory } from '../../../build/src/measure/tree-memory.js'

export function memoryOf(host) {
  const { anonBytes, pssBytes, ussBytes, rssBytes, count, unreadable } = readTreeMemory(host.pid)
  if (count === 0 || unreadable.length > 0) throw new Error(`${host.label}: its memory cannot be read`)
  if (count > 1) throw new Error(`${host.label}: ${count} processes, one was expected`)
  return { anonBytes, pssBytes, ussBytes, rssBytes }
}
