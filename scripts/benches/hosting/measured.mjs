// The workloads in a worker: listens on the socket of its config.
import { serve } from './serve.mjs'

export async function run(ctx) {
  const server = await serve(ctx.config.socket)
  ctx.ready()
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  server.close()
}
