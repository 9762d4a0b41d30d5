// `supervise --explain` prints the decisions of restart.ts and order.ts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { loadHerd } from '../../src/config/load.ts'
import type { HerdConfig } from '../../src/config/types.ts'
import { explainHerd } from '../../src/report/explain.ts'
import { runCleanNode } from '../helpers/clean-node.ts'

const folder = mkdtempSync(join(tmpdir(), 'byre-t-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, 'w.js'), 'export const run = () => {}')

const module = './w.js'
const config: HerdConfig = {
  name: 'shop',
  workers: {
    db: { module, group: 'core' },
    mail: { module, after: ['db'], limit: { failures: 3, within: '1m' }, stopTimeout: '20s' },
    report: {
      module,
      requires: ['mail'],
      activation: { topics: ['report.>'], every: '10m' },
      restart: 'never',
    },
    canary: { module, after: ['db'], restart: 'always', limit: { failures: 13 }, onLimit: 'exit' },
    boss: { module, critical: true, limit: { failures: 1 }, backoff: { first: '1s' } },
    clock: { module, activation: { cron: '*/5 * * * *' } },
  },
}
const file = join(folder, 'byre.config.json')
writeFileSync(file, JSON.stringify(config))

t.test('start and stop order, activation, delays and limit of each worker', async (t) => {
  const herd = await loadHerd({ cwd: folder })
  t.equal(
    explainHerd(herd),
    `herd 'shop', 6 of 6 workers, config ${file}

Start order (workers on one line start together, after the workers in their after and requires):
  1. db, boss, clock
  2. mail, canary
  3. report

Stop order (a worker that exceeds its stopTimeout is reported as unstopped):
  1. report
  2. canary, mail
  3. clock, boss, db

Restart delays after consecutive failures (each multiplied by a random factor from 1 to 1.5):
  WORKER  STARTS                     RESTART     STOP WITHIN  DELAYS AND LIMIT
  db      immediately                on-failure  5s           0ms, 1s, 2s, 4s; failure 5 within 5m: quarantined until byre start; reset after 10m up
  mail    immediately                on-failure  20s          0ms, 1s; failure 3 within 1m: quarantined until byre start; reset after 10m up
  report  topic report.>; every 10m  never       5s           none; failure 5 within 5m: quarantined until byre start
  canary  immediately                always      5s           0ms, 1s, 2s, 4s, 8s, 16s, 32s, 1m, 1m, 1m, ... (12 in total); failure 13 within 5m: the whole process exits; reset after 10m up
  boss    immediately                on-failure  5s           failure 1 within 5m: the herd stops (critical)
  clock   cron */5 * * * * UTC       on-failure  5s           0ms, 1s, 2s, 4s; failure 5 within 5m: quarantined until byre start; reset after 10m up
`,
  )
})

t.test(
  'byre supervise --explain covers the workers that would be hosted, starts nothing, and refuses unknown names',
  async (t) => {
    const bin = join(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')
    const byre = (...args: string[]): ReturnType<typeof runCleanNode> =>
      runCleanNode([bin, 'supervise', '--explain', ...args], { cwd: folder })
    t.match(await byre('--group', 'core'), { code: 0, stdout: /1 of 6 workers[^]*\n {2}1. db\n\nStop/ })
    t.match(await byre('--only', 'mail,report'), { code: 0, stdout: /1. mail\n {2}2. report/ })
    t.match(await byre('--only', 'nobody'), {
      code: 2,
      stderr: /Cannot explain nobody: .* has db \(group core\), mail/,
    })
    t.match(await byre('--group', 'none'), { code: 2, stderr: /group 'none'/ })
  },
)
