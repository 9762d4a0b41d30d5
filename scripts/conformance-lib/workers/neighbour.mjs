// A healthy worker beside the program under test. Each 100 ms it uses a timer, an emitter, a fetch to a server of its own
// and now and then a child process. What goes wrong, and a gap between two turns that is too long, is a line of its file.
import { execFile } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'

const BEAT_MS = 100
const FETCH_LIMIT_MS = 5000
const CHILD_EVERY = 20

// Kept as they are now: the program under test may replace them.
const append = appendFileSync
const now = Date.now
const stringify = JSON.stringify

export async function run(ctx) {
  const { file, longestGapMs } = ctx.config
  const report = (what, more = {}) => append(file, `${stringify({ at: now(), what, ...more })}\n`)
  const server = createServer((request, response) => response.end(`echo ${request.url}`)).listen(
    0,
    '127.0.0.1',
  )
  await once(server, 'listening')
  const { port } = server.address()
  const emitter = new EventEmitter()
  let heard = 0
  emitter.on('beat', (n) => (heard = n))
  let n = 0
  let last = now()
  let busy = false

  async function useNetwork() {
    const signal = AbortSignal.timeout(FETCH_LIMIT_MS)
    const text = await (await fetch(`http://127.0.0.1:${port}/${n}`, { signal })).text()
    if (!/^echo \/\d+$/.test(text)) report('fetch', { text })
  }

  function useChild() {
    return new Promise((resolve) => {
      execFile('/bin/echo', ['ok'], (error, output) => {
        if (error || output !== 'ok\n') report('child', { error: error?.message, output })
        resolve()
      })
    })
  }

  async function beat() {
    const at = now()
    if (at - last > longestGapMs) report('gap', { ms: at - last })
    last = at
    n++
    emitter.emit('beat', n)
    if (heard !== n) report('emitter', { heard, n })
    if (busy) return
    busy = true
    try {
      await useNetwork()
      if (n % CHILD_EVERY === 1) await useChild()
    } catch (error) {
      report('error', { error: String(error?.cause ?? error).slice(0, 200) })
    } finally {
      busy = false
    }
  }

  const timer = setInterval(() => void beat(), BEAT_MS)
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve, { once: true }))
  clearInterval(timer)
  server.close()
  server.closeAllConnections()
}
