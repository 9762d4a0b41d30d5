// The HTTP server of the control socket and of the HTTP listener: requests in, JSON out. A separate file because it needs node:http;
// clients.ts loads it with the first byte of the first request.

import { createServer, STATUS_CODES } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { isRecord } from '../base/check.ts'
import { ByreError, describeThrown } from '../base/errors.ts'
import type { ErrorCode } from '../base/errors.ts'
import { parse, stringify } from '../base/json.ts'
import type { Logger } from '../log/logger.ts'
import { STATUS_VERSION } from '../herd/status.ts'
import type { ControlReply, ControlTarget, SupervisorStatus } from '../herd/status.ts'
import { plainAnswer, plainRefusal } from './connection.ts'
import type { Phase, RefusalKind, Refusals } from './connection.ts'
import { eventStreams, MAX_EVENT_STREAMS } from './event-streams.ts'
import type { EventStreams } from './event-streams.ts'
import { MAX_WORKER_LENGTH, parseCommand, refuse } from './message.ts'
import type { Refusal } from './message.ts'

export interface HttpOptions {
  readonly target: ControlTarget
  readonly log: Logger
  readonly refusals: Refusals
  /** Call when the client of a connection enters a phase. */
  readonly enter: (socket: Socket, phase: Phase) => void
  /** Set for the HTTP listener, which is read-only. */
  readonly listener: Listener | undefined
}

/** Access rule of the HTTP listener, which every user of this machine can reach, unlike the socket. */
export interface Listener {
  readonly admits: (hostHeader: string | undefined) => boolean
}

/** Longest body of a POST. */
export const MAX_BODY_BYTES: number = 64 * 1024
/** Longest request line and headers together. */
const MAX_HEADER_BYTES: number = 8 * 1024

/** An HTTP server that never listens itself: pass connections to it with `emit('connection', socket)`. */
export function createHttpServer(options: HttpOptions): {
  readonly server: Server
  readonly events: EventStreams
} {
  const { target, refusals, enter } = options
  const events = eventStreams(target, refusals, enter)
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, routeRequests(options, events))
  // One request per connection: node would parse and emit pipelined ones before the first is answered.
  server.maxRequestsPerSocket = 1
  const requests = new WeakMap<Socket, IncomingMessage>()
  server.prependListener('request', (req) => requests.set(req.socket, req))
  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket
    if (error.code !== 'ECONNRESET')
      refusals.note('not-http', { why: error.message.slice(0, 200), code: error.code })
    // Garbage after a complete request: the request is answered, and nothing further is read.
    if (requests.get(socket)?.complete === true) return discardInput(socket)
    if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0)
      return void socket.destroy()
    enter(socket, 'linger')
    discardInput(socket)
    socket.end(plainRefusal(statusOf(error.code), 'BYRE_CONTROL_REFUSED', 'it is not a valid HTTP request'))
  })
  return { server, events }
}

/** Detaches node's parser, which has given up. Input is still read, because only then the client's close is noticed. */
function discardInput(socket: Socket): void {
  socket.removeAllListeners('data').on('data', () => {})
}

function statusOf(code: string | undefined): string {
  return code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
}

/** One request and its answer. */
interface Exchange extends HttpOptions {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly events: EventStreams
  readonly status: () => Promise<SupervisorStatus>
  /** Unique within this supervisor; the default id of a command. */
  readonly id: string
}

const ROUTES =
  'GET /workers, GET /workers/<name>, POST /workers/<name>/<action>, GET /events, GET /metrics, GET /healthz, GET /readyz, POST /profile'
/** Routes with a single path segment. */
const PLAIN: readonly string[] = ['events', 'metrics', 'healthz', 'readyz', 'profile']
const BODY_KEYS: readonly string[] = ['v', 'id', 'by', 'args']
const KIND_OF: Readonly<Record<number, RefusalKind>> = {
  403: 'foreign-host',
  404: 'not-found',
  405: 'wrong-method',
  409: 'refused-by-state',
  413: 'body-too-large',
  429: 'too-busy',
}

/** A request handler for node:http. Answers every request, even if the target throws. */
function routeRequests(
  options: HttpOptions,
  events: EventStreams,
): (req: IncomingMessage, res: ServerResponse) => void {
  const status = shareCalls(() => options.target.status())
  let requests = 0
  return (req, res) => {
    res.on('error', () => {}) // the client hung up; 'close' follows
    const exchange: Exchange = { ...options, req, res, events, status, id: `socket-${++requests}` }
    route(exchange).catch((error: unknown) => {
      if (res.destroyed || error instanceof HungUp) return
      options.log.error({ err: describeThrown(error) }, 'control: cannot answer a request')
      if (res.headersSent) res.destroy()
      else
        send(
          exchange,
          500,
          failure('BYRE_INTERNAL', `Cannot answer the request: ${describeThrown(error).message}`),
        )
    })
  }
}

async function route(exchange: Exchange): Promise<void> {
  const { req } = exchange
  await Promise.resolve() // the parser calls at the end of the headers; let it process the rest of its input
  if (exchange.listener?.admits(req.headers.host) === false) {
    const fact = `the Host header must name this machine (localhost, 127.x.x.x, [::1]), got ${stringify(req.headers.host ?? '').slice(0, 80)}`
    return refuseRequest(exchange, 403, 'BYRE_CONTROL_REFUSED', fact)
  }
  const parts = pathParts(req.url ?? '')
  const [root, name, action] = parts
  if (!(root === 'workers' && parts.length <= 3) && !(PLAIN.includes(root ?? '') && parts.length === 1))
    return refuseRequest(
      exchange,
      404,
      'BYRE_CONTROL_NOT_FOUND',
      `there is no such route. The routes are ${ROUTES}`,
    )
  if (!methodFits(exchange, root === 'profile' ? root : action)) return
  if (root === 'profile') return sendProfile(exchange)
  if (name !== undefined && action !== undefined) return act(exchange, name, action)
  enter(exchange, 'work')
  if (root === 'events') return openEvents(exchange)
  if (root === 'metrics') return sendMetrics(exchange)
  if (root === 'healthz') return sendText(exchange, 200, 'ok\n', PLAIN_TEXT) // the loop answers
  if (root === 'readyz') return sendReadiness(exchange)
  return name === undefined ? send(exchange, 200, await exchange.status()) : sendWorker(exchange, name)
}

/** Decoded segments of the path, without the query; none when a segment is not valid percent-encoding. */
function pathParts(url: string): string[] {
  try {
    return url.split('?', 1)[0]!.replace(/^\//, '').split('/').map(decodeURIComponent)
  } catch {
    return []
  }
}

/** Refuses any method but that of the route, and on the read-only listener any method but GET. */
function methodFits(exchange: Exchange, action: string | undefined): boolean {
  const { req, res, listener } = exchange
  const method = action === undefined ? 'GET' : 'POST'
  const readOnly = listener !== undefined && method === 'POST'
  if (req.method === method && !readOnly) return true
  res.setHeader('allow', readOnly ? 'GET' : method)
  const rule = readOnly
    ? 'this listener is read-only; use the control socket'
    : `this route accepts ${method}`
  const fact = `${rule}, got ${req.method}. The routes are ${ROUTES}`
  refuseRequest(exchange, 405, 'BYRE_CONTROL_NOT_FOUND', fact)
  return false
}

async function sendMetrics(exchange: Exchange): Promise<void> {
  const { METRICS_CONTENT_TYPE, renderMetrics } = await import('../watch/metrics/metrics.ts')
  const text = await renderMetrics(await exchange.status(), { refused: exchange.refusals.counts() })
  sendText(exchange, 200, text, METRICS_CONTENT_TYPE)
}

async function sendProfile(exchange: Exchange): Promise<void> {
  const text = await readBody(exchange.req)
  enter(exchange, 'work')
  const { requestProfile } = await import('../watch/profile/profile.ts')
  try {
    const request = text === undefined || text.trim() === '' ? {} : parse(text)
    send(exchange, 200, await requestProfile(request, exchange.target))
  } catch (error) {
    const busy = error instanceof ByreError && error.code === 'BYRE_CONTROL_BUSY'
    const body = failure(
      error instanceof ByreError ? error.code : 'BYRE_CONTROL_REFUSED',
      describeThrown(error).message,
    )
    noteRefusal(exchange, busy ? 429 : 400, body.error.message)
    send(exchange, busy ? 429 : 400, body)
  }
}

const PLAIN_TEXT = 'text/plain; charset=utf-8'

async function sendReadiness(exchange: Exchange): Promise<void> {
  const problems = readinessProblems(await exchange.status())
  const lines = problems.length === 0 ? ['ready'] : problems
  sendText(exchange, problems.length === 0 ? 200 : 503, `${lines.join('\n')}\n`, PLAIN_TEXT)
}

/** Why the herd is not ready, one line each. Ready means up, not draining, and every `critical` worker running or dormant. */
export function readinessProblems({ phase, workers }: Pick<SupervisorStatus, 'phase' | 'workers'>): string[] {
  const lost = workers.filter(
    ({ critical, state }) => critical === true && state !== 'running' && state !== 'dormant',
  )
  return [
    ...(phase === 'up' ? [] : [`the herd is ${phase ?? 'of another version'}`]),
    ...lost.map(({ name, state }) => `critical worker ${name} is ${state}`),
  ]
}

function openEvents(exchange: Exchange): void {
  if (exchange.events.open(exchange.res)) return
  const fact = `${MAX_EVENT_STREAMS} event streams are open already. Close one`
  refuseRequest(exchange, 429, 'BYRE_CONTROL_BUSY', fact, 'too-many-event-streams')
}

async function sendWorker(exchange: Exchange, name: string): Promise<void> {
  const { herd, group, workers } = await exchange.status()
  const worker = workers.find((w) => w.name === name)
  if (worker !== undefined) return send(exchange, 200, { version: STATUS_VERSION, herd, group, worker })
  const fact = `there is no worker ${stringify(name.slice(0, MAX_WORKER_LENGTH))} in group '${group}'`
  refuseRequest(exchange, 404, 'BYRE_WORKER_UNKNOWN', fact)
}

async function act(exchange: Exchange, worker: string, action: string): Promise<void> {
  const body = await readBody(exchange.req)
  enter(exchange, 'work')
  const reply = body === undefined ? tooLarge() : execute(exchange, body, worker, action)
  if (!reply.body.ok) noteRefusal(exchange, reply.status, reply.body.error.message)
  send(exchange, reply.status, reply.body)
}

function tooLarge(): Refusal {
  return refuse(413, '', `its body is longer than ${MAX_BODY_BYTES} bytes`, 'BYRE_CONTROL_TOO_LARGE')
}

/** Only a valid command reaches the target. */
function execute({ target, id }: Exchange, text: string, worker: string, action: string): ControlReply {
  let body: unknown
  try {
    body = text.trim() === '' ? {} : parse(text)
  } catch (error) {
    return refuse(400, '', `the body is not JSON (${describeThrown(error).message.slice(0, 120)})`)
  }
  if (!isRecord(body)) return refuse(400, '', 'the body must be a JSON object {id?, by?, args?}')
  const unknown = Object.keys(body).find((key) => !BODY_KEYS.includes(key))
  if (unknown !== undefined)
    return refuse(
      400,
      '',
      `unknown key ${stringify(unknown.slice(0, 40))} in the body; known are id, by, args`,
    )
  const parsed = parseCommand({ v: 1, id, by: 'socket', ...body, worker, action })
  return parsed.ok ? target.act(parsed.command) : parsed
}

class HungUp extends Error {}

/** The body as text; undefined as soon as it is longer than MAX_BODY_BYTES. Rejects with HungUp. */
function readBody(req: IncomingMessage): Promise<string | undefined> {
  if (Number(req.headers['content-length'] ?? 0) > MAX_BODY_BYTES) return Promise.resolve(undefined)
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let bytes = 0
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= MAX_BODY_BYTES) return void chunks.push(chunk)
      chunks.length = 0
      resolve(undefined)
    })
    req.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    req.once('error', () => reject(new HungUp()))
    req.once('close', () => reject(new HungUp()))
  })
}

function refuseRequest(
  exchange: Exchange,
  status: number,
  code: ErrorCode,
  fact: string,
  kind?: RefusalKind,
): void {
  const body = failure(code, `Cannot answer the request: ${fact}.`)
  noteRefusal(exchange, status, body.error.message, kind)
  send(exchange, status, body)
}

function noteRefusal(
  { refusals, req }: Exchange,
  status: number,
  why: string,
  kind: RefusalKind = KIND_OF[status] ?? 'bad-message',
): void {
  refusals.note(kind, { status, method: req.method, url: req.url?.slice(0, 200), why })
}

function failure(code: ErrorCode, message: string): Refusal['body'] {
  return { v: 1, id: '', ok: false, error: { code, message } }
}

/** One answer per connection: no keep-alive timeout, no pipelining, and the rest of a refused body is never read. */
function send(exchange: Exchange, status: number, body: unknown): void {
  sendText(exchange, status, `${stringify(body)}\n`, 'application/json')
}

function sendText(exchange: Exchange, status: number, text: string, type: string): void {
  const { req, res } = exchange
  const { socket } = res
  if (!req.complete && socket !== null) {
    // node:http would destroy the connection after the answer, while the client is still sending.
    enter(exchange, 'linger')
    req.removeAllListeners('data').resume()
    return void socket.end(plainAnswer(`${status} ${STATUS_CODES[status]}`, text, type))
  }
  enter(exchange, 'answer')
  res.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    connection: 'close',
  })
  res.end(text, () => socket?.destroySoon())
}

function enter({ enter, res }: Exchange, phase: Phase): void {
  if (res.socket !== null) enter(res.socket, phase)
}

/**
 * Callers that arrive during a call share the next one: a hundred clients cost two readings of smaps_rollup, and none gets a
 * status from before its request.
 */
function shareCalls<T>(call: () => Promise<T>): () => Promise<T> {
  let running: Promise<void> | undefined
  let next: Promise<T> | undefined
  const start = (): Promise<T> => {
    next = undefined
    const result = call()
    const settled = result.then(noop, noop)
    running = settled
    void settled.then(() => {
      if (running === settled) running = undefined
    })
    return result
  }
  return () => {
    if (running === undefined) return start()
    next ??= running.then(start)
    return next
  }
}

function noop(): void {}
