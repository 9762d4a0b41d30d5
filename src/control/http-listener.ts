// The optional HTTP listener (`http.listen`): the read-only routes of the control socket for Prometheus, probes and browsers on this
// machine. Loopback only. A Host header that is not loopback is refused, so that a page of another site cannot read through a
// name that resolves to 127.0.0.1 (DNS rebinding). No CORS headers. Loaded only when it is configured.

import { lookup } from 'node:dns/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { ByreError, describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import type { ControlTarget } from '../herd/status.ts'
import { serveClients } from './clients.ts'

export interface HttpListenerOptions {
  readonly host: string
  /** 0 selects any free port; the log names it. */
  readonly port: number
  readonly target: ControlTarget
  readonly log: Logger
  readonly clock: Clock
}

export interface HttpListener {
  /** @example '127.0.0.1:9464', '[::1]:9464' */
  readonly address: string
  close(): Promise<void>
}

/** Rejects with BYRE_ARGUMENT_INVALID for an address that is not loopback, or with the system's error (EADDRINUSE). */
export async function startHttpListener(options: HttpListenerOptions): Promise<HttpListener> {
  const { host, port, target, log, clock } = options
  // The machine decides what `localhost` resolves to, so the address is checked, before anything listens.
  const { address } = await lookup(host)
  if (!isLoopback(address))
    throw new ByreError(
      'BYRE_ARGUMENT_INVALID',
      `Cannot listen on '${host}': http.listen must be a loopback address, got ${address}. Put a proxy in front of it to reach it from elsewhere.`,
    )
  const clients = serveClients({ target, log, clock, listener: { admits: isLoopbackHost } })
  const server = createServer((socket) => {
    socket.on('error', () => {}) // the client hung up; 'close' follows
    clients.accept(socket)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: address, port, exclusive: true }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  server.on('error', (error) => log.error({ err: describeThrown(error) }, 'http: cannot accept a connection'))
  return {
    address: nameOf(server.address() as AddressInfo),
    async close() {
      const whenGone = clients.close()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
      whenGone()
    },
  }
}

/** Opens the listener, or logs why there is none: the herd runs without it. */
export async function openHttpListener(options: HttpListenerOptions): Promise<HttpListener | undefined> {
  const { host, port, log } = options
  try {
    const listener = await startHttpListener(options)
    log.info(
      { event: 'http-listening', address: listener.address },
      `metrics on http://${listener.address}/metrics`,
    )
    return listener
  } catch (error) {
    log.error(
      { event: 'http-failed', host, port, ...describeThrown(error) },
      `no HTTP listener: ${describeThrown(error).message}. The control socket has the same routes`,
    )
    return undefined
  }
}

function nameOf({ address, family, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address)
}

/** Whether a Host header is one that a client on this machine sends: loopback, with any port. */
export function isLoopbackHost(host: string | undefined): boolean {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:[\]]+))(?::\d{1,5})?$/i.exec(host ?? '')
  const name = (match?.[1] ?? match?.[2] ?? '').toLowerCase()
  return name === 'localhost' || isLoopback(name)
}
