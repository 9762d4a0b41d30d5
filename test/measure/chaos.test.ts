// The short version of `scripts/bench chaos`: after ten seconds of faults only the faulty workers have restarted.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
const file = (name: string): string => fileURLToPath(new URL(`../../../${name}`, import.meta.url))
const skip = existsSync(file('dist/bin.js')) ? false : 'dist is missing: run `npm run build`'

t.test(
  'faults in 100 workers restart only the faulty ones and lose no message of others',
  { skip },
  async (t) => {
    const args = [file('scripts/bench.mjs'), 'chaos', '--duration', '10s', '--json']
    const { code, stdout, stderr } = await runCleanNode(args, { timeoutMs: 90_000 })
    t.equal(code, 0, stderr)
    const { figures, claims } = JSON.parse(stdout) as {
      figures: { lane: string; metric: string; median: number }[]
      claims: { claim: string; median: number; holds: boolean }[]
    }
    const injected = figures.filter(({ metric }) => metric === 'injectedCount')
    t.ok(injected.reduce((sum, { median }) => sum + median, 0) >= 5, 'faults were injected')
    t.ok((figures.find(({ metric }) => metric === 'receivedCount')?.median ?? 0) > 1000, 'messages arrived')
    for (const { claim, median, holds } of claims.slice(0, 2)) t.ok(holds, `${claim}: ${median}`)
  },
)
