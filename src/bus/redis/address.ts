// The address of a Redis server, apart: where to connect, as whom, and what must never be written down.

import type { RedisOptions } from 'ioredis'
import { ByreError } from '../../base/errors.ts'

export interface RedisAddress {
  readonly connect: RedisOptions
  readonly secrets: readonly string[]
}

/**
 * Reads `redis://[user[:password]@]host[:port][/db]`; `rediss:` is TLS, verified against the system's authorities
 * (NODE_EXTRA_CA_CERTS adds to them). A host is a name, an address, an IPv6 in brackets, or the percent-encoded path of
 * a Unix socket. Without user and password those in `env.REDIS_URL` are taken, if that names the same server. Throws
 * BYRE_ARGUMENT_INVALID, which does not quote the address.
 */
export function readAddress(url: string, env: NodeJS.ProcessEnv): RedisAddress {
  const parsed = parse(url)
  const shared = env['REDIS_URL']
  const other = shared === undefined || hasUser(parsed) ? undefined : tryParse(shared)
  const account = other !== undefined && serverOf(other) === serverOf(parsed) ? other : parsed
  const username = decode(account.username)
  const password = decode(account.password)
  const host = decode(parsed.hostname.replace(/^\[(.*)\]$/, '$1'))
  const db = Number(parsed.pathname.slice(1) || '0')
  const connect: RedisOptions = {
    ...(host.startsWith('/') ? { path: host } : { host, port: Number(parsed.port || '6379') }),
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(db === 0 ? {} : { db }),
    ...(parsed.protocol === 'rediss:' ? { tls: {} } : {}),
  }
  return { connect, secrets: [password, account.password].filter((secret) => secret !== '') }
}

function parse(url: string): URL {
  const parsed = tryParse(url)
  if (parsed !== undefined) return parsed
  throw new ByreError(
    'BYRE_ARGUMENT_INVALID',
    "Cannot open the Redis bus: its address must be a URL such as 'redis://127.0.0.1:6379' (not shown: it may hold a password). Percent-encode special characters in a password.",
  )
}

function tryParse(url: string): URL | undefined {
  try {
    const parsed = new URL(url)
    const known = parsed.protocol === 'redis:' || parsed.protocol === 'rediss:'
    return known && parsed.hostname !== '' ? parsed : undefined
  } catch {
    return undefined
  }
}

function hasUser(url: URL): boolean {
  return url.username !== '' || url.password !== ''
}

function serverOf(url: URL): string {
  return `${url.protocol}//${url.hostname.toLowerCase()}:${url.port || '6379'}`
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
