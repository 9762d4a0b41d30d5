// The child processes that a worker in a thread has reported and that may still run.

import type { ProcessIdentity } from '../procfs/stat.ts'

/** Ended processes are searched for only from this number of entries on. */
const CHECK_MIN = 64

export class StartedChildren {
  readonly #children = new Map<number, ProcessIdentity>()
  #checkAt = CHECK_MIN

  add(child: ProcessIdentity): void {
    if (this.#children.size >= this.#checkAt) this.#dropEnded()
    this.#children.set(child.pid, child)
  }

  /** Removes and returns all entries. Some may have ended: compare the start time. */
  take(): ProcessIdentity[] {
    const taken = [...this.#children.values()]
    this.#children.clear()
    return taken
  }

  /** 1 us for each. To read the start time as well takes 30 us; a reused pid counts until it has ended too. */
  #dropEnded(): void {
    for (const pid of this.#children.keys()) if (!exists(pid)) this.#children.delete(pid)
    this.#checkAt = Math.max(CHECK_MIN, 2 * this.#children.size)
  }
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
