// Key names of durable streams on the server. All keys of a herd are in one hash slot, so that a script can use them
// together, and one connection reaches them in a cluster.

export interface StreamKeys {
  readonly jobs: string
  readonly delayed: string
  readonly dead: string
  readonly retry: (group: string) => string
  readonly dedupe: (id: string) => string
}

/** Names of herds and streams contain no white space, so the separators below are unambiguous. */
export function streamKeys(herd: string, stream: string): StreamKeys {
  const prefix = keyPrefix(herd)
  return {
    jobs: `${prefix}jobs:${stream}`,
    delayed: `${prefix}delayed:${stream}`,
    dead: `${prefix}jobs:${stream}${DEAD}`,
    retry: (group) => `${prefix}retry:${stream} ${group}`,
    dedupe: (id) => `${prefix}dedupe:${stream} ${id}`,
  }
}

/** Prefix of every key of the herd. */
export function keyPrefix(herd: string): string {
  return `byre:{${herd}}:`
}

/** Channel of a stream's doorbell messages. It is outside the herd's channel prefix, so that no topic pattern covers it. */
export function doorbellChannel(herd: string, stream: string): string {
  return `byre-bell:${herd}:${stream}`
}

const DEAD = '.dead'
