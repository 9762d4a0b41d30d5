// A run or state directory that cannot be: told at once, with the variable it comes from.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const IDLE = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`

for (const variable of ['STATE_DIRECTORY', 'XDG_STATE_HOME', 'RUNTIME_DIRECTORY', 'XDG_RUNTIME_DIR'])
  for (const kind of ['/proc/nope', 'a file', 'below a file'])
    t.test(`${variable} is ${kind}: refused with exit code 1`, async (t) => {
      const folder = herdFolder(t)
      const file = join(folder, 'file')
      writeFileSync(file, '')
      const value = kind === 'a file' ? file : kind === 'below a file' ? join(file, 'deeper') : kind
      const other = { XDG_STATE_HOME: 'STATE_DIRECTORY', XDG_RUNTIME_DIR: 'RUNTIME_DIRECTORY' }[variable]
      const env = { ...(other === undefined ? {} : { [other]: '' }), [variable]: value }
      const herd = await startHerd(t, { folder, workers: { idle: IDLE }, env, ready: false })
      t.same(await herd.exit(), { code: 1, signal: null })
      const said = herd.lines.map((line) => (typeof line['raw'] === 'string' ? line['raw'] : '')).join('\n')
      t.match(said, `byre: Cannot use the folder '${value}`)
      t.match(said, `It comes from ${variable}=${value}: set that to a folder this user may write to.`)
    })
