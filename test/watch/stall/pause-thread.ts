// The watching thread of pause.test.ts: pauses the main loop as workerData says, and then has nothing more to do.
import { parentPort, workerData } from 'node:worker_threads'
import { pauseMainLoop } from '../../../src/watch/stall/pause.ts'

const { sampled, take } = workerData as { readonly sampled: boolean; readonly take: boolean }
const alive = setInterval(() => {}, 1000) // a session does not keep a thread alive
const pausing = pauseMainLoop({
  usable: () => true,
  onPaused: () => void paused(),
  sampled: () => sampled,
})

async function paused(): Promise<void> {
  if (take) {
    const profile = await pausing.profile()
    parentPort?.postMessage(profile === undefined ? 'no profile' : 'profile')
  }
  pausing.cancel()
  if (take) parentPort?.postMessage((await pausing.profile()) === undefined ? 'no profile' : 'profile')
  // Node 20 aborts the process when a thread ends at the same moment as its session with the main thread (8 of 18 runs, none
  // of 18 with this delay); the watching thread of a herd continues.
  setTimeout(() => clearInterval(alive), 300)
}
