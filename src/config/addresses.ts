// Checks and parses the addresses in a config: `http.listen` and the bus. No message quotes a bus address, since it may
// contain a password.

import type { BusConfig, ResolvedBus } from './types.ts'
import { RANGES } from './defaults.ts'
import { show } from './problems.ts'

const LISTEN = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^\s:[\]/]{1,253})):(\d{1,5})$/

/** Splits `host:port`, with an IPv6 address in brackets; the returned host has no brackets. Returns undefined for any other
 *  form. */
export function parseListen(text: string): { host: string; port: number } | undefined {
  const match = LISTEN.exec(text)
  if (match === null) return undefined
  return { host: (match[1] ?? match[2])!, port: Number(match[3]) }
}

/** Returns the reason why the read-only HTTP listener cannot use the address `text`, or undefined when it can. Only loopback
 *  addresses with a port of 0 to 65535 are allowed. */
export function reasonListen(text: string): string | undefined {
  const address = parseListen(text)
  if (address === undefined)
    return `must be 'host:port' such as '127.0.0.1:9464' or '[::1]:9464', got ${show(text)}`
  if (address.port > RANGES.port[1])
    return `the port must be from ${RANGES.port[0]} to ${RANGES.port[1]}, got ${address.port}`
  if (isLoopback(address.host)) return undefined
  return `must be a loopback address (127.0.0.1, [::1] or localhost), got ${show(address.host)}. For access from other hosts, use a proxy`
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

/** Returns the reason why `text` is not a Redis URL, or undefined when it is one: `redis://` or `rediss://`, a host, and
 *  optionally a database number as path. */
export function reasonRedisUrl(text: string): string | undefined {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return "must be a URL such as 'redis://127.0.0.1:6379' (the value is not shown: it may contain a password). Percent-encode special characters in a password"
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    return 'must begin with redis:// or rediss:// (the value is not shown: it may contain a password)'
  }
  if (url.hostname === '') return 'must contain a host, such as redis://127.0.0.1:6379'
  if (!/^\/?$|^\/\d{1,5}$/.test(url.pathname))
    return 'the path of the URL must be a database number, such as /0'
  return undefined
}

/** Like reasonRedisUrl, but also accepts `'embedded'`. */
export function reasonBusText(text: string): string | undefined {
  if (text === 'embedded') return undefined
  if (!text.includes('://'))
    return "must be 'embedded', or a redis:// or rediss:// URL (the value is not shown: it may contain a password)"
  return reasonRedisUrl(text)
}

/** Converts the bus of a config that has passed the checks. */
export function resolveBus(bus: BusConfig): ResolvedBus {
  if (bus === 'embedded') return { kind: 'embedded' }
  if (typeof bus === 'string') return { kind: 'redis', url: bus }
  if ('url' in bus) return { kind: 'redis', url: bus.url }
  if ('sentinels' in bus) return { kind: 'sentinel', sentinels: bus.sentinels, name: bus.name }
  return { kind: 'cluster', nodes: bus.cluster }
}
