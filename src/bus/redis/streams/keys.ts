// Names of what durable streams keep on the server. All of a herd's lie in one hash slot: a script may use them together,
// and in a cluster one connection reaches them.

export interface StreamKeys {
  readonly jobs: string
  readonly delayed: string
  readonly dead: string
  readonly retry: (group: string) => string
  readonly dedupe: (id: string) => string
}

/** Names of herds and streams hold no white space. */
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

/** What every key of the herd begins with. */
export function keyPrefix(herd: string): string {
  return `byre:{${herd}}:`
}

/** Where a stream's doorbell is rung: beside the herd's topics, so that no pattern of theirs covers it. */
export function doorbellChannel(herd: string, stream: string): string {
  return `byre-bell:${herd}:${stream}`
}

const DEAD = '.dead'
