// The child processes that code of this thread has started and that may still run.

import { isRunning } from '../ownership/run-scope.ts'
import type { RunningChild } from '../ownership/run-scope.ts'

/** Ended processes are searched for only from this number of entries on. */
const CHECK_MIN = 32

export class RunningChildren {
  /** Weak references: Node keeps the object of a running process. */
  #list: WeakRef<RunningChild>[] = []
  #checkAt = CHECK_MIN

  add(child: RunningChild): void {
    if (this.#list.length >= this.#checkAt) {
      this.#list = this.#list.filter(runs)
      this.#checkAt = Math.max(CHECK_MIN, 2 * this.#list.length)
    }
    this.#list.push(new WeakRef(child))
  }

  all(): RunningChild[] {
    return this.#list.flatMap((reference) => (runs(reference) ? (reference.deref() ?? []) : []))
  }
}

function runs(reference: WeakRef<RunningChild>): boolean {
  const child = reference.deref()
  return child !== undefined && isRunning(child)
}
