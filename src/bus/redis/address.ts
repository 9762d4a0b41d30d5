// Parses the address of a Redis server into endpoints, the account, and the secrets that must not be logged.

import { ByreError } from '../../base/errors.ts'
import type { ServerAddress } from './locate.ts'
import type { Account, Endpoint } from './resp.ts'

/** The server address in the config. */
export type BusServer =
  | { readonly url: string }
  | { readonly sentinels: readonly Listener[]; readonly name: string }
  | { readonly cluster: readonly Listener[] }

interface Listener {
  readonly host: string
  readonly port: number
}

export interface RedisAddress {
  readonly address: ServerAddress
  readonly secrets: readonly string[]
}

/**
 * Parses `redis://[user[:password]@]host[:port][/db]`. `rediss:` is TLS, verified with Node's certificate authorities
 * (NODE_EXTRA_CA_CERTS adds to them). A host is a name, an IP address, an IPv6 address in brackets, or the percent-encoded
 * path of a Unix socket. Without user and password in the address, those in `env.REDIS_URL` are used if it names the same
 * server. For sentinels and clusters, user, password and TLS come from REDIS_URL if its host is one of the endpoints or the
 * master's name. Throws BYRE_ARGUMENT_INVALID, which does not quote the address.
 */
export function readAddress(server: BusServer, env: NodeJS.ProcessEnv): RedisAddress {
  if ('url' in server) return readUrl(server.url, env)
  const endpoints = 'sentinels' in server ? server.sentinels : server.cluster
  const names: string[] = endpoints.map(({ host }) => host.toLowerCase())
  if ('sentinels' in server) names.push(server.name.toLowerCase())
  const shared = env['REDIS_URL']
  const url = shared === undefined ? undefined : tryParse(shared)
  const known = url !== undefined && names.includes(url.hostname.toLowerCase()) ? url : undefined
  const account = known === undefined ? {} : accountOf(known, known)
  const secrets = known === undefined ? [] : secretsOf(known)
  if ('cluster' in server)
    return { address: { kind: 'cluster', endpoints, account: withoutDb(account) }, secrets }
  return { address: { kind: 'sentinels', endpoints, masterName: server.name, account }, secrets }
}

function readUrl(url: string, env: NodeJS.ProcessEnv): RedisAddress {
  const parsed = parse(url)
  const shared = env['REDIS_URL']
  const other = shared === undefined || hasUser(parsed) ? undefined : tryParse(shared)
  const credentials = other !== undefined && serverOf(other) === serverOf(parsed) ? other : parsed
  const host = decode(parsed.hostname.replace(/^\[(.*)\]$/, '$1'))
  const endpoint: Endpoint = host.startsWith('/')
    ? { path: host }
    : { host, port: Number(parsed.port || '6379') }
  const account = accountOf(parsed, credentials)
  return { address: { kind: 'server', endpoints: [endpoint], account }, secrets: secretsOf(credentials) }
}

function accountOf(url: URL, credentials: URL): Account {
  const username = decode(credentials.username)
  const password = decode(credentials.password)
  const db = Number(url.pathname.slice(1) || '0')
  return {
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(db === 0 ? {} : { db }),
    ...(url.protocol === 'rediss:' ? { tls: true } : {}),
  }
}

/** A cluster has only database 0. */
function withoutDb({ username, password, tls }: Account): Account {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  }
}

function secretsOf(url: URL): string[] {
  return [decode(url.password), url.password].filter((secret) => secret !== '')
}

function parse(url: string): URL {
  const parsed = tryParse(url)
  if (parsed !== undefined) return parsed
  throw new ByreError(
    'BYRE_ARGUMENT_INVALID',
    "Cannot open the Redis bus: the address is not a valid URL (not shown because it may contain a password). Use a URL like 'redis://127.0.0.1:6379' and percent-encode special characters in a password.",
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
