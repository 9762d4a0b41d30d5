// Errors whose owner is not known before the imports of the workers have been read. They wait in their order, and their workers
// go on meanwhile.

import { runInScope } from './run-scope.ts'

/** More errors are decided at once, by what is known. */
const WAITING_MAX = 1000

export class Undecided {
  readonly #read: () => Promise<void>
  #waiting: (() => void)[] = []

  /** `read` resolves when the imports are known, or not to be waited for any longer. It must not reject. */
  constructor(read: () => Promise<void>) {
    this.#read = read
  }

  /** Calls `decide` once, outside every worker's context. */
  add(decide: () => void): void {
    if (this.#waiting.length >= WAITING_MAX) return runInScope(undefined, decide)
    if (this.#waiting.push(decide) > 1) return
    runInScope(undefined, () => void this.#read().then(() => this.flush()))
  }

  /** Decides all that wait by what is known now. */
  flush(): void {
    const waiting = this.#waiting
    this.#waiting = []
    runInScope(undefined, () => {
      for (const decide of waiting) decide()
    })
  }
}
