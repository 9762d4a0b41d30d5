// Memory, processes and restarts of one side of a swap while it runs.

import { readProcessTable, selectTree } from '../measure/process-tree.ts'
import { readMembersMemory } from '../measure/tree-memory.ts'
import type { SideFigures } from './swap-journal.ts'
import { showUnits } from './systemctl.ts'

/** Figures of those `units` that are active, each with its whole process tree, from one pass over /proc. */
export async function readFigures(units: readonly string[]): Promise<SideFigures> {
  const services = units.filter((unit) => unit.endsWith('.service'))
  const states = (await showUnits(services)).filter(({ active }) => active === 'active')
  const table = readProcessTable()
  const memory = states.map(({ mainPid }) =>
    readMembersMemory(mainPid === 0 ? [] : selectTree(table, mainPid)),
  )
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
  const unreadable = sum(memory.map((tree) => tree.unreadable.length))
  return {
    units: states.length,
    ...(unreadable === 0
      ? {
          pssBytes: sum(memory.map(({ pssBytes }) => pssBytes)),
          anonBytes: sum(memory.map(({ anonBytes }) => anonBytes)),
        }
      : { unreadable }),
    processes: sum(memory.map(({ count }) => count)) + unreadable,
    restarts: sum(states.map(({ restarts }) => restarts)),
    upMs: Math.round(Math.max(0, ...states.map(({ upMs = 0 }) => upMs))),
  }
}
