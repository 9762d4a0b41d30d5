// Counts what the control surfaces refuse and logs it once per kind: a client that sends garbage in a loop must not
// fill the log, and must not go unseen either. The kinds are a closed list, so the counts are bounded.

import type { Logger } from '../log/logger.ts'

export type RefusalKind =
  | 'bad-message' // 400: not a control message
  | 'body-too-large'
  | 'foreign-host'
  | 'not-found' // 404: no such route or worker
  | 'not-http'
  | 'not-signed' // over the bus: unsigned, wrong, stale or replayed
  | 'refused-by-state' // 409
  | 'sse-behind'
  | 'too-busy' // 429 by the target: rate limit
  | 'too-many-connections'
  | 'too-many-event-streams'
  | 'too-slow'
  | 'wrong-method'

export interface Refusals {
  /** Logs the first of its kind with `fields`; counts the others. */
  note(kind: RefusalKind, fields?: Readonly<Record<string, unknown>>): void
  /** So far, by kind; kinds never seen are absent. */
  counts(): Readonly<Partial<Record<RefusalKind, number>>>
  /** One line with the counts, if anything was folded. */
  summarize(): void
}

export function countRefusals(log: Logger): Refusals {
  const counts = new Map<RefusalKind, number>()
  return {
    note(kind, fields = {}) {
      const count = (counts.get(kind) ?? 0) + 1
      counts.set(kind, count)
      if (count === 1)
        log.warn(
          { kind, ...fields },
          `control: refused (${kind}); further ones of this kind are only counted`,
        )
    },
    counts: () => Object.fromEntries(counts),
    summarize() {
      const folded = Object.fromEntries([...counts].filter(([, count]) => count > 1))
      if (Object.keys(folded).length > 0) log.warn({ refused: folded }, 'control: refused in total, by kind')
    },
  }
}
