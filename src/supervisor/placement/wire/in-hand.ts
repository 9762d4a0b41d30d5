// What a guest's subscription was sent and has not taken yet, by the number it was sent with: for giving it back.

/** Numbers begin at 0 and follow each other. */
export class InHand<T extends object> {
  #items: (T | undefined)[] = []
  /** Number of `#items[0]`. */
  #base = 0
  #holes = 0

  /** How many are left. */
  get size(): number {
    return this.#items.length - this.#holes
  }

  add(item: T): void {
    this.#items.push(item)
  }

  /** Everything up to and with number `last` is gone. */
  gone(last: number): void {
    const count = Math.min(last - this.#base + 1, this.#items.length)
    if (count <= 0) return
    for (const item of this.#items.splice(0, count)) if (item === undefined) this.#holes--
    this.#base += count
  }

  /** This one alone is gone. */
  lost(number: number): void {
    const index = number - this.#base
    if (index < 0 || index >= this.#items.length || this.#items[index] === undefined) return
    this.#items[index] = undefined
    this.#holes++
  }

  /** Takes all that is left, in order. */
  drain(): T[] {
    const left = this.#items.filter((item): item is T => item !== undefined)
    this.#base += this.#items.length
    this.#items = []
    this.#holes = 0
    return left
  }
}
