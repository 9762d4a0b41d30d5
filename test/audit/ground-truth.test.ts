// Programs of known cost: many small modules, and an addon.
import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { audit } from '../../src/audit/audit.ts'
import { resolveEntry } from '../../src/audit/entry.ts'
import { writeProgram } from './fixtures.ts'

// Children run in parallel with those of other tests, on few cores; memory does not depend on the load.
t.setTimeout(600_000)

const quick = { cacheFolder: t.testdir({}), runs: 1, proofs: 0, proofRuns: 1 } as const
/** Any addon that loads serves; this one is a dependency of the test tools. */
const ADDON = join(
  process.cwd(),
  `node_modules/@napi-rs/nice-linux-${process.arch}-gnu/nice.linux-${process.arch}-gnu.node`,
)

t.test(
  '500 tiny modules: their memory is named, and the proof confirms the saving of the import that loads them',
  async (t) => {
    const files: Record<string, string> = {
      'main.mjs': `import './tiny/index.mjs'`,
      'tiny/index.mjs': Array.from({ length: 500 }, (_, i) => `export * from './t${i}.mjs'`).join('\n'),
    }
    for (let i = 0; i < 500; i++) files[`tiny/t${i}.mjs`] = `export const v${i} = new Array(512).fill(${i}.5)`
    const cwd = writeProgram(t.testdir({}), files)
    const entries = [resolveEntry('main.mjs', cwd)]
    const result = await audit({ ...quick, cwd, entries, whatIf: ['main.mjs -> tiny/index.mjs'] })
    const [answer] = result.answers
    if (answer?.kind !== 'what-if' || answer.saving.proof.kind !== 'proven')
      throw new Error(JSON.stringify(answer))
    const { predictedBytes, proof } = answer.saving
    t.ok(result.parts.namedShare >= 0.97, `${result.parts.namedShare} named`)
    t.ok(proof.savedBytes > 500 * 4096, 'their 4 KiB each are seen')
    t.ok(
      Math.abs(predictedBytes - proof.savedBytes) <= 0.08 * proof.savedBytes,
      `${predictedBytes} of ${proof.savedBytes}`,
    )
  },
)

t.test(
  'an addon is a module of its kind',
  { skip: existsSync(ADDON) ? false : 'no addon is installed' },
  async (t) => {
    const cwd = writeProgram(t.testdir({}), {
      'main.cjs': `require('./mid.cjs')`,
      'mid.cjs': `exports.a = require('./addon.node'); exports.d = new Array(131072).fill(1.5)`,
    })
    copyFileSync(ADDON, join(cwd, 'addon.node'))
    const result = await audit({
      ...quick,
      cwd,
      entries: [resolveEntry('main.cjs', cwd)],
      cut: ['addon.node'],
    })
    t.equal(result.modules.find((m) => m.label === 'addon.node')?.kind, 'addon')
    const [answer] = result.answers
    t.ok(answer?.kind === 'cut' && answer.saving.proof.kind === 'proven', JSON.stringify(answer))
    t.ok(result.parts.namedShare >= 0.9, `${result.parts.namedShare} named`)
  },
)
