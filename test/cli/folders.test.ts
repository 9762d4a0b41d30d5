// An unusable run or state directory is reported at start with the variable that it comes from.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const IDLE = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`

for (const variable of ['STATE_DIRECTORY', 'XDG_STATE_HOME', 'RUNTIME_DIRECTORY', 'XDG_RUNTIME_DIR'])
  for (const kind of ['/proc/nope', 'a file', 'below a file'])
    t.test(`${variable} is ${kind}: byre exits with code 1`, async (t) => {
      const folder = herdFolder(t)
      const file = join(folder, 'file')
      writeFileSync(file, '')
      const value = kind === 'a file' ? file : kind === 'below a file' ? join(file, 'deeper') : kind
      const other = { XDG_STATE_HOME: 'STATE_DIRECTORY', XDG_RUNTIME_DIR: 'RUNTIME_DIRECTORY' }[variable]
      const env = { ...(other === undefined ? {} : { [other]: '' }), [variable]: value }
      const herd = await startHerd(t, { folder, workers: { idle: IDLE }, env, ready: false })
      t.same(await herd.exit(), { code: 1, signal: null })
      const stderr = herd.lines.map((line) => (typeof line['raw'] === 'string' ? line['raw'] : '')).join('\n')
      t.match(stderr, `byre: Cannot use the folder '${value}`)
      t.match(
        stderr,
        `The path comes from ${variable}=${value}. Set it to a folder that this user can write to.`,
      )
    })
