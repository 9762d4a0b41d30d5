// Where things listen and connect: `http.listen` and the bus. No message here quotes a bus address, since it may
// hold a password.

import type { BusConfig, ResolvedBus } from './types.ts'
import { RANGES } from './defaults.ts'
import { show } from './problems.ts'

const LISTEN = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^\s:[\]/]{1,253})):(\d{1,5})$/

/** `host:port` apart, or undefined when it is not of that form. IPv6 in brackets; the host without them. */
export function parseListen(text: string): { host: string; port: number } | undefined {
  const match = LISTEN.exec(text)
  if (match === null) return undefined
  return { host: (match[1] ?? match[2])!, port: Number(match[3]) }
}

/** Why `text` is no address the read-only HTTP listener may take, or undefined: loopback only, port 0 to 65535. */
export function reasonListen(text: string): string | undefined {
  const address = parseListen(text)
  if (address === undefined)
    return `must be 'host:port' such as '127.0.0.1:9464' or '[::1]:9464', got ${show(text)}`
  if (address.port > RANGES.port[1])
    return `the port must be ${RANGES.port[0]} to ${RANGES.port[1]}, got ${address.port}`
  if (isLoopback(address.host)) return undefined
  return `must be a loopback address (127.0.0.1, [::1] or localhost), got ${show(address.host)}; to reach it from elsewhere put a proxy in front of it`
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true
  const parts = host.split('.')
  return (
    parts.length === 4 &&
    parts[0] === '127' &&
    parts.every((p) => /^(?:0|[1-9]\d{0,2})$/.test(p) && Number(p) <= 255)
  )
}

/** Why `text` is no Redis address, or undefined: `redis://` or `rediss://`, a host, at most a database number as path. */
export function reasonRedisUrl(text: string): string | undefined {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return "must be a URL such as 'redis://127.0.0.1:6379' (not shown: it may hold a password); special characters in a password need percent-encoding"
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    return 'must begin with redis:// or rediss:// (not shown: it may hold a password)'
  }
  if (url.hostname === '') return 'must name a host, such as redis://127.0.0.1:6379'
  if (!/^\/?$|^\/\d{1,5}$/.test(url.pathname))
    return 'the path of the URL must be a database number, such as /0'
  return undefined
}

/** As reasonRedisUrl, and `'embedded'` is fine too. */
export function reasonBusText(text: string): string | undefined {
  if (text === 'embedded') return undefined
  if (!text.includes('://'))
    return "must be 'embedded', a redis:// or a rediss:// URL (not shown: it may hold a password)"
  return reasonRedisUrl(text)
}

/** The bus of a config that passed the checks. */
export function resolveBus(bus: BusConfig): ResolvedBus {
  if (bus === 'embedded') return { kind: 'embedded' }
  if (typeof bus === 'string') return { kind: 'redis', url: bus }
  if ('url' in bus) return { kind: 'redis', url: bus.url }
  if ('sentinels' in bus) return { kind: 'sentinel', sentinels: bus.sentinels, name: bus.name }
  return { kind: 'cluster', nodes: bus.cluster }
}
