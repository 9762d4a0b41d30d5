// Passes the reports of one run to its runner with the number of the run, so that the runner can ignore a run it has
// abandoned. A class, because each loaded worker keeps one.

import type { Exit, InstanceEvents, LoadFigures } from './placement.ts'

/** `run` is the number of the reporting run. */
export interface RunListener {
  runLoaded(run: number, figures: LoadFigures | undefined): void
  runReady(run: number): void
  runEnded(run: number, exit: Exit): void
  runCharged(run: number, exit: Exit): void
  runIdle(run: number): void
}

export class RunEvents implements InstanceEvents {
  readonly #listener: RunListener
  readonly #run: number

  constructor(listener: RunListener, run: number) {
    this.#listener = listener
    this.#run = run
  }

  loaded(figures: LoadFigures | undefined): void {
    this.#listener.runLoaded(this.#run, figures)
  }
  ready(): void {
    this.#listener.runReady(this.#run)
  }
  ended(exit: Exit): void {
    this.#listener.runEnded(this.#run, exit)
  }
  charged(exit: Exit): void {
    this.#listener.runCharged(this.#run, exit)
  }
  idle(): void {
    this.#listener.runIdle(this.#run)
  }
}
