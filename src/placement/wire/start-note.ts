// The data that byre's code in a worker's process needs before the first line of the wire. It is passed in an environment variable,
// which is removed before the worker's code runs; Node flags would be inherited by the worker's own child processes. A
// separate file because script-preload.ts loads nothing else at once.

const VARIABLE = 'BYRE_CHILD'

export interface StartNote {
  /** File descriptor of the wire. */
  readonly fd: number
  /** Where V8 writes its fatal report. */
  readonly report: { readonly folder: string; readonly name: string }
}

/** The note as a variable of the child's environment. */
export function startNote(note: StartNote): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(note) }
}

/** Removes the variable from `env` and turns on V8's fatal report. Returns undefined without a note. Call once, in the child. */
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
