// The text of one benchmark worker: about 2.5 KB of ordinary code, one subscription and one 60 s timer. Every worker is
// a separate module, so that what a module costs is paid by each.

/** `floorUrl`: import the shared floor and open its data source before being ready; undefined for a lean worker. */
export function workerSource(name, floorUrl) {
  const orm = floorUrl !== undefined
  return `${orm ? `import { database } from ${JSON.stringify(floorUrl)}\n` : ''}
const NAME = ${JSON.stringify(name)}
const MAX_ATTEMPTS = 5
const WINDOW = 256

function emptyState() {
  return { seen: new Map(), handled: 0, failed: 0, retried: 0, bytes: 0, lastAt: 0, byKind: Object.create(null) }
}

function remember(state, id, at) {
  state.seen.set(id, at)
  if (state.seen.size <= WINDOW) return
  for (const key of state.seen.keys()) {
    state.seen.delete(key)
    if (state.seen.size <= WINDOW) break
  }
}

function parse(payload) {
  if (typeof payload !== 'object' || payload === null) throw new TypeError(NAME + ': the payload is no object')
  const { kind = 'unknown', key = '', attempts = 0, body = '' } = payload
  if (typeof kind !== 'string' || kind.length > 64) throw new RangeError(NAME + ': kind is too long')
  if (!Number.isInteger(attempts) || attempts < 0) throw new RangeError(NAME + ': attempts is no count')
  return { kind, key: String(key), attempts, body: typeof body === 'string' ? body : JSON.stringify(body) }
}

function backoffMs(attempts) {
  const base = Math.min(60_000, 250 * 2 ** attempts)
  return Math.round(base * (1 + Math.random() / 2))
}

async function work(job${orm ? ', source' : ''}) {
  if (job.body.length === 0) return 'skipped'
  const words = job.body.split(/\\s+/).filter((word) => word.length > 2)
  const score = words.reduce((sum, word) => sum + word.length, 0) / Math.max(1, words.length)${
    orm
      ? `
  await source.getRepository('event').insert({ name: job.kind, state: 'done', amountCents: Math.round(score) })`
      : ''
  }
  return score > 4 ? 'long' : 'short'
}

async function handle(state, message, ctx${orm ? ', source' : ''}) {
  if (state.seen.has(message.id)) return
  remember(state, message.id, message.ts)
  const job = parse(message.payload)
  try {
    const result = await work(job${orm ? ', source' : ''})
    state.handled++
    state.bytes += job.body.length
    state.byKind[job.kind] = (state.byKind[job.kind] ?? 0) + 1
    await message.reply?.({ worker: NAME, result })
  } catch (error) {
    state.failed++
    if (job.attempts + 1 >= MAX_ATTEMPTS) throw error
    state.retried++
    ctx.log.warn({ key: job.key, retryMs: backoffMs(job.attempts) }, 'will be tried again')
  }
  state.lastAt = message.ts
}

export async function run(ctx) {
  const state = emptyState()
${orm ? '  const source = await database()\n' : ''}  const inbox = ctx.bus.subscribe('bench.' + NAME + '.>', { signal: ctx.signal })
  await inbox.ready
  const timer = setInterval(() => ctx.log.debug({ handled: state.handled, failed: state.failed }, 'beat'), 60_000)
  ctx.ready()
  try {
    for await (const message of inbox) await handle(state, message, ctx${orm ? ', source' : ''})
  } finally {
    clearInterval(timer)
  }
}
`
}
