// How a reader parts with jobs it holds: back to the group, for others at once.

import type { Redis } from 'ioredis'
import type { HeldJob } from './job.ts'
import { doorbellChannel } from './keys.ts'
import type { StreamKeys } from './keys.ts'
import { RELEASE, runScript } from './scripts.ts'

/** The consumer that holds the jobs. */
interface Holder {
  readonly stream: string
  readonly keys: StreamKeys
  readonly consumer: string
  readonly reads: { readonly group: string }
}

/** Those never handed out count as never delivered. With no jobs it only takes the consumer off. Never rejects. */
export async function giveBack(
  client: Redis,
  herd: string,
  { stream, keys, reads, consumer }: Holder,
  jobs: readonly HeldJob[],
): Promise<void> {
  const entries = jobs.flatMap((job) => [job.entry, job.state === 'waiting' ? 1 : 0])
  const args = [reads.group, consumer, ...entries]
  // an error means that the connection broke, or the stream is gone
  const released = runScript(client, RELEASE, [keys.jobs, keys.retry(reads.group)], args).catch(() => {})
  if (jobs.length > 0) ringOthers(client, herd, stream)
  await released
}

/** There is something to claim, now or later. */
export function ringOthers(client: Redis, herd: string, stream: string): void {
  // unheard, their slow poll finds it
  client.publish(doorbellChannel(herd, stream), 'delayed').catch(() => {})
}
