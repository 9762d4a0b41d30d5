// byre's code in the process of a script with `inside: true`, loaded by --require before the script. It takes away what the
// script could notice or hand on: the flag, the variable, the entry of the module cache. Node loads it in every thread of
// the script as well, where there is no note: it is small, and imports as little.

import type Module from 'node:module'
import { takeStartNote } from '../wire/start-note.ts'
import type * as ScriptChild from './script-child.ts'

const own = process.execArgv.indexOf(`--require=${import.meta.filename}`)
if (own >= 0) process.execArgv.splice(own, 1)
const { _cache: loaded, createRequire } = process.getBuiltinModule('node:module') as typeof Module & {
  readonly _cache: Record<string, unknown>
}
delete loaded[import.meta.filename]

const note = takeStartNote(process.env)
if (note !== undefined) {
  // At once, not by import(): what is made here is there before any async hook, fake timer or changed builtin of the script.
  const require = createRequire(import.meta.url)
  const file = require.resolve('./script-child.js')
  const { openScriptChild } = require(file) as typeof ScriptChild
  delete loaded[file]
  openScriptChild(note.fd)
  // What the socket has put off until the next tick, which would be one of the script's.
  ;(process as { _tickCallback?: () => void })._tickCallback?.()
}
