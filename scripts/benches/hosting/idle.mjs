// A sibling of the measured worker: a timer, and an emitter with a listener. It is copied once for each.
import { EventEmitter } from 'node:events'

export async function run(ctx) {
  const emitter = new EventEmitter()
  let beats = 0
  emitter.on('beat', () => beats++)
  const timer = setInterval(() => emitter.emit('beat'), 1000)
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  clearInterval(timer)
}
