// What byre's code in a worker's process must know before the wire says anything: a variable has it, and is taken out of
// the environment before the worker's code looks, so that it reaches no child of the worker. Flags of node would.

const VARIABLE = 'BYRE_GUEST'

export interface StartNote {
  /** The descriptor of the wire. */
  readonly fd: number
  /** Where V8's fatal report goes. */
  readonly report: { readonly folder: string; readonly name: string }
}

/** For the environment of the child. */
export function startNote(note: StartNote): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(note) }
}

/** In the child, once: removes the variable from `env` and has V8 write its fatal report. Undefined where there is none. */
export function takeStartNote(env: NodeJS.ProcessEnv): StartNote | undefined {
  const text = env[VARIABLE]
  if (text === undefined) return undefined
  delete env[VARIABLE]
  const note = JSON.parse(text) as StartNote
  const { report } = process
  if (report !== undefined) {
    report.reportOnFatalError = true
    report.compact = true
    report.directory = note.report.folder
    report.filename = note.report.name
  }
  return note
}
