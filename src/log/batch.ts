// Lines that need not be written one by one: those of one turn of the loop in one write(2). At the start of a herd that
// is most of them, and a write that wakes its reader costs more than making the line (0.1 to 0.3 ms where measured).

/** What a pipe takes whole beside other writers (PIPE_BUF, pipe(7)), bytes; characters are never more. */
const BATCH_MAX_LENGTH = 4096

export interface Batch {
  /** Written when the turn ends, at the latest. */
  add(line: string): void
  /** Writes what is held. Called before anything else is written, so that lines keep their order. */
  flush(): void
}

/** `write` takes one or more whole lines. `soon` calls back once this turn's own work is done. */
export function createBatch(
  write: (lines: string) => void,
  soon: (fn: () => void) => void = (fn) => process.nextTick(fn),
): Batch {
  let held = ''
  let planned = false
  const flush = (): void => {
    if (held === '') return
    const lines = held
    held = ''
    write(lines)
  }
  const end = (): void => {
    planned = false
    flush()
  }
  return {
    add(line) {
      if (held.length + line.length > BATCH_MAX_LENGTH) flush()
      held += line
      if (planned) return
      planned = true
      soon(end)
    },
    flush,
  }
}
