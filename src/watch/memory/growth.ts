// Who has grown most since it was smallest. Pure.

export interface Sized {
  /** One run of one worker, or the shared loop. */
  readonly key: string
  readonly bytes: number
}

export interface Grown {
  readonly key: string
  readonly growthBytes: number
  readonly bytes: number
  /** Since it was smallest. */
  readonly overMs: number
}

export class Growth {
  #lowest = new Map<string, { readonly bytes: number; readonly atMs: number }>()
  #latest: readonly Sized[] = []
  #atMs = 0

  /** Everybody there is now; who is not among them is forgotten. */
  note(sizes: readonly Sized[], atMs: number): void {
    const before = this.#lowest
    this.#lowest = new Map(
      sizes.map(({ key, bytes }) => {
        const lowest = before.get(key)
        return [key, lowest !== undefined && lowest.bytes <= bytes ? lowest : { bytes, atMs }]
      }),
    )
    this.#latest = sizes
    this.#atMs = atMs
  }

  /** Undefined: nobody has grown. */
  largest(): Grown | undefined {
    let found: Grown | undefined
    for (const { key, bytes } of this.#latest) {
      const lowest = this.#lowest.get(key)
      if (lowest === undefined) continue
      const growthBytes = bytes - lowest.bytes
      if (growthBytes > (found?.growthBytes ?? 0))
        found = { key, growthBytes, bytes, overMs: Math.round(this.#atMs - lowest.atMs) }
    }
    return found
  }
}
