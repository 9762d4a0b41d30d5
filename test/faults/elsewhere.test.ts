// The same faults in a thread and in a process of the worker's own: the same verdicts, and the same peace for the others.
import { fileURLToPath } from 'node:url'
import t from 'tap'

const RUNS = [
  ['throws', 'process'],
  ['throws', 'thread'],
  ['values', 'process'],
] as const

t.jobs = 2
for (const [table, placement] of RUNS)
  t.spawn(
    process.execPath,
    [fileURLToPath(new URL(`${table}.test.js`, import.meta.url))],
    { env: { ...process.env, BYRE_TEST_PLACEMENT: placement, TAP_TIMEOUT: '110' }, timeout: 110_000 },
    `${table} in placement ${placement}`,
  )
