// What one side of a swap costs while it runs.

import { readProcessTable, selectTree } from '../measure/process-tree.ts'
import { readMembersMemory } from '../measure/tree-memory.ts'
import type { SideFigures } from './swap-journal.ts'
import { showUnits } from './systemctl.ts'

/** Of the units that are active now, with the whole process tree of each; one pass over /proc. */
export async function readFigures(units: readonly string[]): Promise<SideFigures> {
  const states = (await showUnits(units)).filter(({ active }) => active === 'active')
  const table = readProcessTable()
  const memory = states.map(({ mainPid }) =>
    readMembersMemory(mainPid === 0 ? [] : selectTree(table, mainPid)),
  )
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
  return {
    units: states.length,
    pssBytes: sum(memory.map(({ pssBytes }) => pssBytes)),
    anonBytes: sum(memory.map(({ anonBytes }) => anonBytes)),
    processes: sum(memory.map(({ count }) => count)),
    restarts: sum(states.map(({ restarts }) => restarts)),
    upMs: Math.round(Math.max(0, ...states.map(({ upMs = 0 }) => upMs))),
  }
}
