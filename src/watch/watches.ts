// Starts the watches of a running herd once it is up: for stalls of the loop, and for the memory of groups. Their code is loaded
// when a worker or group first needs it. Also provides what a profile of the shared loop needs to know of the herd.

import { describeThrown } from '../base/errors.ts'
import type { Assignments } from '../herd/assignments.ts'
import type { CodeOwners } from '../ownership/code-owners.ts'
import type { ProfileSource, StallStatus } from '../herd/status.ts'
import type { WorkerSet } from '../herd/worker-set.ts'
import type { MemoryWatchDeps } from './memory/largest.ts'
import type { MemoryWatch } from './memory/watch.ts'
import type { Stall } from './stall/protocol.ts'
import type { StallDeps, StallWatch } from './stall/watch.ts'

export class Watches {
  readonly #stalls = new Map<string, StallStatus>()
  #watch: StallWatch | undefined
  #memory: MemoryWatch | undefined
  #stallDeps: StallDeps | undefined
  #memoryDeps: MemoryWatchDeps | undefined
  #stallsBegun = false
  #closed = false

  /** Starts the watches that the config of a worker or group requires. Without `memory`, the memory of groups is not watched. */
  begin(stalls: StallDeps, memory: MemoryWatchDeps | undefined): void {
    this.#stallDeps = stalls
    this.#memoryDeps = memory
    this.#watchStalls(stalls)
    if (memory !== undefined) this.#watchMemory(memory)
  }

  #watchMemory(deps: MemoryWatchDeps): void {
    const groups = Object.values(deps.herd().groups)
    if (this.#memory === undefined && !groups.some((group) => Object.keys(group).length > 0)) return
    import('./memory/watch.ts').then(
      ({ watchMemory }) => {
        this.#memory?.close()
        if (!this.#closed) this.#memory = watchMemory(deps)
      },
      (error: unknown) =>
        deps.log.error(
          { event: 'memory-watch-failed', ...describeThrown(error) },
          'memory of the group is not watched: its code cannot be loaded',
        ),
    )
  }

  #watchStalls(deps: StallDeps): void {
    if (this.#stallsBegun || ![...deps.workers.runners()].some(({ spec }) => spec.stall.detect)) return
    this.#stallsBegun = true
    const { root } = deps.log
    // A breakpoint blocks the loop as well, and two debuggers would resume each other's pauses.
    if (process.execArgv.some((flag) => flag.startsWith('--inspect'))) {
      root.info({ event: 'stall-watch-off' }, 'stalls are not detected: this process is being debugged')
      return
    }
    import('./stall/watch.ts').then(
      ({ watchStalls }) => {
        if (!this.#closed) this.#watch = watchStalls(deps, this.stalled)
      },
      (error: unknown) =>
        root.error(
          { event: 'stall-watch-failed', ...describeThrown(error) },
          'stalls are not detected: the thread that watches the loop cannot be started',
        ),
    )
  }

  /** Call with each stall that is over: of the shared loop, or of a worker in a thread or process. */
  readonly stalled = ({ worker, ...last }: Stall): void => {
    if (worker === undefined || this.#stallDeps?.workers.get(worker) === undefined) return
    this.#stalls.set(worker, { count: (this.#stalls.get(worker)?.count ?? 0) + 1, last })
    // The loop was blocked: only the next stall can be named by what its worker imports.
    void this.#stallDeps.codeOwners.read()
  }

  herdChanged(): void {
    if (this.#stallDeps !== undefined) this.begin(this.#stallDeps, this.#memoryDeps)
    this.ownersChanged()
  }
  /** Call when the imports of the workers have been read. */
  ownersChanged(): void {
    this.#watch?.herdChanged()
  }
  statusOf(worker: string): { readonly stalls?: StallStatus } {
    const stalls = this.#stalls.get(worker)
    return stalls === undefined ? {} : { stalls }
  }
  /** Takes at most 400 ms. */
  async close(): Promise<void> {
    this.#closed = true
    this.#memory?.close()
    await this.#watch?.close()
  }
}

/** The input of a profile of the shared loop: its workers, and a way to profile workers in other loops. */
export function profileSource(
  workers: Pick<WorkerSet, 'runners' | 'get'>,
  assignments: Assignments,
  {
    codeOwners,
    ...files
  }: Pick<ProfileSource, 'folder' | 'label' | 'clock'> & {
    readonly codeOwners: Pick<CodeOwners, 'get' | 'read'>
  },
): ProfileSource {
  return {
    ...files,
    async owners() {
      await codeOwners.read()
      return codeOwners.get()
    },
    outside: (worker) => {
      const runner = workers.get(worker)
      if (runner !== undefined && assignments.of(runner.spec) === 'shared') return 'shared'
      return runner?.instance?.profile ?? 'absent'
    },
  }
}
