// Releases jobs that a reader holds to its group, where other readers get them at once.

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

/** Releases `jobs`, and removes the consumer if it holds nothing more. The delivery of a job that was not yielded to the
 *  worker does not count. Never rejects. */
export async function releaseJobs(
  client: Redis,
  herd: string,
  { stream, keys, reads, consumer }: Holder,
  jobs: readonly HeldJob[],
): Promise<void> {
  const entries = jobs.flatMap((job) => [job.entry, job.state === 'waiting' ? 1 : 0])
  const args = [reads.group, consumer, ...entries]
  // an error means that the connection broke or the stream no longer exists
  const released = runScript(client, RELEASE, [keys.jobs, keys.retry(reads.group)], args).catch(() => {})
  if (jobs.length > 0) sendDoorbell(client, herd, stream, 'delayed')
  await released
}

/** Wakes the readers of the stream. `kind` is 'delayed' when there are jobs to claim, now or later. */
export function sendDoorbell(client: Redis, herd: string, stream: string, kind: 'jobs' | 'delayed'): void {
  // a reader that misses it finds the jobs with its next poll
  client.publish(doorbellChannel(herd, stream), kind).catch(() => {})
}
