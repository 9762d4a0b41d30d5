// Requests to an inspector that is reached by text, and their replies.

import { isRecord } from '../../base/check.ts'

type Reply = (result: unknown) => void

export class Replies {
  readonly #heard: (method: string, params: unknown) => void
  readonly #waiting = new Map<number, Reply>()
  #last = 0

  /** `heard` gets what is not a reply. */
  constructor(heard: (method: string, params: unknown) => void) {
    this.#heard = heard
  }

  /** The text of a request. `reply` gets the result, undefined when it was refused or will not come any more. */
  request(method: string, params: object = {}, reply?: Reply): string {
    const id = ++this.#last
    if (reply !== undefined) this.#waiting.set(id, reply)
    return JSON.stringify({ id, method, params })
  }

  /** Takes a text of the inspector; one that is malformed is passed over. */
  receive(text: string): void {
    const message = parse(text)
    if (!isRecord(message)) return
    const { id, method, params, result } = message
    if (typeof method === 'string') {
      this.#heard(method, params)
      return
    }
    const reply = this.#waiting.get(Number(id))
    this.#waiting.delete(Number(id))
    reply?.(result)
  }

  /** Nothing will be heard any more. */
  close(): void {
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const reply of waiting) reply(undefined)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
