// The memory figures of `byre swap`.
import t from 'tap'
import { outcomeText, planText } from '../../src/report/swap-text.ts'

const side = (pssBytes: number) => ({ units: 1, pssBytes, anonBytes: 0, processes: 1, restarts: 0, upMs: 0 })
const plan = { target: [], other: [], down: [], steps: [] }
const projected = { pssBytes: 40e6, anonBytes: 0, modules: 2 }

t.test('a saving has its percentage; an increase is never shown as a saving', async (t) => {
  const lastLine = (before: number, after: number) =>
    outcomeText('swap', { kind: 'swapped', before: side(before), after: side(after) })
      .trimEnd()
      .split('\n')
      .at(-1)
  t.equal(lastLine(200e6, 50e6), '  saved 150.0 MB of PSS (75 %)')
  t.equal(lastLine(1e6, 28e6), '  saved nothing: 27.0 MB of PSS more')
})

t.test('the same holds for the projection', async (t) => {
  const text = (before: number) => planText('swap', { ...plan, before: side(before), projected })
  t.match(text(200e6), 'one process, 160.0 MB (80 %) less;')
  t.match(text(30e6), 'one process, 10.0 MB of PSS more;')
})
