// What a guest's subscription was sent and has not taken yet, by the number it was sent with: for giving it back.

/** Numbers begin at 0 and follow each other. Every operation but `drain` is O(1), amortised, per message. */
export class InHand<T extends object> {
  #items: (T | undefined)[] = []
  /** Before it all are gone. Moving the rest down at each `gone` would cost the length of a backlog every turn. */
  #head = 0
  /** Number of `#items[#head]`. */
  #base = 0
  /** From `#head` on. */
  #holes = 0

  /** How many are left. */
  get size(): number {
    return this.#items.length - this.#head - this.#holes
  }

  add(item: T): void {
    this.#items.push(item)
  }

  /** Everything up to and with number `last` is gone. */
  gone(last: number): void {
    const count = Math.min(last - this.#base + 1, this.#items.length - this.#head)
    if (count <= 0) return
    const end = this.#head + count
    for (let i = this.#head; i < end; i++) {
      if (this.#items[i] === undefined) this.#holes--
      this.#items[i] = undefined
    }
    this.#base += count
    this.#head = end
    if (end * 2 < this.#items.length) return
    this.#items = this.#items.slice(end)
    this.#head = 0
  }

  /** This one alone is gone. */
  lost(number: number): void {
    const index = number - this.#base + this.#head
    if (index < this.#head || index >= this.#items.length || this.#items[index] === undefined) return
    this.#items[index] = undefined
    this.#holes++
  }

  /** Takes all that is left, in order. */
  drain(): T[] {
    const left = this.#items.filter((item): item is T => item !== undefined)
    this.#base += this.#items.length - this.#head
    this.#items = []
    this.#head = 0
    this.#holes = 0
    return left
  }
}
