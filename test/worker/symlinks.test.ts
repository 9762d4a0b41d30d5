// The shared loop resolves packages behind symbolic links (pnpm, workspaces, npm link) like a plain node process. The log
// is a pipe here: a stat call with numbers on a pipe makes Node 20 resolve such links wrongly, see src/base/stat.ts.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

t.test(
  'a worker imports a linked package whose dependency is in the node_modules of its real path',
  async (t) => {
    const folder = herdFolder(t)
    const store = join(folder, 'store/outer@1/node_modules')
    for (const [name, text] of [
      ['outer', `export { inner } from 'inner'`],
      ['inner', `export const inner = 'found'`],
    ] as const) {
      mkdirSync(join(store, name), { recursive: true })
      writeFileSync(
        join(store, name, 'package.json'),
        JSON.stringify({ name, type: 'module', exports: './index.js' }),
      )
      writeFileSync(join(store, name, 'index.js'), text)
    }
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(join(store, 'outer'), join(folder, 'node_modules/outer'))
    const herd = await startHerd(t, {
      folder,
      workers: {
        linked: `import { inner } from 'outer'
export async function run(ctx) {
  ctx.log.info({ event: 'inner', inner }, 'imported')
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`,
      },
    })
    t.match(await herd.line({ event: 'inner' }), { inner: 'found', worker: 'linked' })
  },
)
