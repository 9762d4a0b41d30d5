// A stall in progress, on disk: when the process is ended inside it, by a watchdog or by hand, the next start reads who
// held the loop, where, and for how long (takeStallNote).

import { rmSync, writeFileSync } from 'node:fs'
import type { StallNote } from '../../herd/last-run.ts'
import type { Stall } from './protocol.ts'

/** Throws nothing: a full disk costs the note, not the watch. */
export function writeStallNote(file: string, stall: Stall): void {
  const note: StallNote = { v: 1, pid: process.pid, ...stall }
  try {
    writeFileSync(file, `${JSON.stringify(note)}\n`, { mode: 0o600 })
  } catch {}
}

export function dropStallNote(file: string): void {
  try {
    rmSync(file, { force: true })
  } catch {}
}
