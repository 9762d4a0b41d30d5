// byre's code in the process of a script with `inside: true`, loaded by --require before the script. It removes what the
// script could notice or pass on: the flag, the variable, the entry in the module cache. Node also loads it in every thread
// of the script, where there is no note, so this file is small and imports little.

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
  // Synchronously, not by import(): before the script installs async hooks or fake timers, or replaces builtins.
  const require = createRequire(import.meta.url)
  const file = require.resolve('./script-child.js')
  const { openScriptChild } = require(file) as typeof ScriptChild
  delete loaded[file]
  openScriptChild(note.fd)
  // Runs what the socket has deferred to the next tick, which would otherwise be a tick of the script.
  ;(process as { _tickCallback?: () => void })._tickCallback?.()
}
