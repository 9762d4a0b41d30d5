// The watching thread of pause.test.ts: pauses the main loop, does with it what it is told, and has nothing more to do.
import { parentPort, workerData } from 'node:worker_threads'
import { pauseMainLoop } from '../../../src/watch/stall/pause.ts'

const { sampled, take } = workerData as { readonly sampled: boolean; readonly take: boolean }
const alive = setInterval(() => {}, 1000) // a session holds no thread
const pausing = pauseMainLoop({
  wanted: () => true,
  onPaused: () => void paused(),
  sampled: () => sampled,
})

async function paused(): Promise<void> {
  if (take) {
    const profile = await pausing.profile()
    parentPort?.postMessage(profile === undefined ? 'no profile' : 'profile')
  }
  pausing.takeBack()
  if (take) parentPort?.postMessage((await pausing.profile()) === undefined ? 'no profile' : 'profile')
  // Node 20 aborts the process when a thread ends in the moment its session with the main thread does (8 of 18 runs, none
  // of 18 so much later); the watching thread of a herd lives on.
  setTimeout(() => clearInterval(alive), 300)
}
