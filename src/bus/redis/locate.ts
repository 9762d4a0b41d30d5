// Finds the server to connect to: the configured one, the master that sentinels name, or the master of the herd's slot in a
// cluster. The lookup is repeated for each connection, so that reconnecting follows a failover. connector.ts says why
// ioredis does not do this.

import type { Clock } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import { openResp, ReplyError } from './resp.ts'
import type { Account, Endpoint, Reply, RespConnection } from './resp.ts'

export interface ServerAddress {
  readonly kind: 'server' | 'sentinels' | 'cluster'
  /** The server itself, or the sentinels or cluster nodes to query. */
  readonly endpoints: readonly Endpoint[]
  /** The name of the master in the sentinels' configuration. */
  readonly masterName?: string
  readonly account: Account
}

/** The index of the endpoint to query first, by address. */
const firstIndex = new WeakMap<ServerAddress, number>()

/**
 * Returns the endpoint to connect to for keys that begin with `prefix`. Queries first the endpoint that answered last time;
 * each one may use half of the remaining `timeoutMs`, the last one all of it. Rejects within `timeoutMs` when no endpoint
 * names the master; the next call then starts with the next endpoint, so that each gets the longest share in turn.
 */
export async function locate(
  address: ServerAddress,
  prefix: string,
  clock: Clock,
  timeoutMs: number,
): Promise<Endpoint> {
  const { kind, endpoints } = address
  const [only] = endpoints
  if (kind === 'server' && only !== undefined) return only
  const until = clock.monotonic() + timeoutMs
  const begin = firstIndex.get(address) ?? 0
  const order = [...endpoints.keys()].map((index) => (begin + index) % endpoints.length)
  const reasons: string[] = []
  for (const index of order) {
    const endpoint = endpoints[index] as Endpoint
    const leftMs = until - clock.monotonic()
    const shareMs = index === order.at(-1) ? leftMs : leftMs / 2
    try {
      const master = await query(address, endpoint, prefix, clock, Math.max(1, Math.floor(shareMs)))
      firstIndex.set(address, index)
      return master
    } catch (error) {
      reasons.push(`${nameOf(endpoint)}: ${describeThrown(error).message}`)
    }
  }
  firstIndex.set(address, begin + 1)
  throw new Error(`none of the ${kind} could name the master: ${reasons.join('; ')}`)
}

async function query(
  address: ServerAddress,
  endpoint: Endpoint,
  prefix: string,
  clock: Clock,
  timeoutMs: number,
): Promise<Endpoint> {
  const { kind, masterName, account } = address
  const { tls } = account
  // sentinels are queried without a password
  const login = kind === 'cluster' ? account : tls === undefined ? {} : { tls }
  const until = clock.monotonic() + timeoutMs
  const master = await withConnection(endpoint, login, clock, timeoutMs, (connection) =>
    kind === 'cluster'
      ? masterOfSlot(connection, endpoint, slotOf(prefix))
      : masterOf(connection, masterName ?? 'mymaster'),
  )
  if (kind === 'sentinels') await assertMaster(master, account, clock, until - clock.monotonic())
  return master
}

/** Runs `use` with a connection, which is closed afterwards, and in any case after `timeoutMs`. */
async function withConnection<T>(
  endpoint: Endpoint,
  account: Account,
  clock: Clock,
  timeoutMs: number,
  use: (connection: RespConnection) => Promise<T>,
): Promise<T> {
  const until = clock.monotonic() + timeoutMs
  const connection = await openResp(endpoint, account, clock, Math.max(1, Math.floor(timeoutMs)))
  const timer = clock.setTimer(Math.max(0, until - clock.monotonic()), () => connection.close())
  try {
    return await use(connection)
  } finally {
    timer.cancel()
    connection.close()
  }
}

/** Rejects unless the named server is a master. A partitioned sentinel may name a former master, now a replica. A replica
 *  accepts PUBLISH and delivers it only to its own subscribers, so messages would be lost without any error. */
async function assertMaster(
  named: Endpoint,
  account: Account,
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  try {
    const answer = await withConnection(named, account, clock, timeoutMs, (master) => master.call('ROLE'))
    const role = Array.isArray(answer) ? answer[0] : 'master'
    if (role !== 'master') throw new Error(`it names ${nameOf(named)}, which is a ${String(role)}`)
  } catch (error) {
    // where ROLE is not available (an ACL, rename-command, a proxy), the sentinel is trusted
    if (!(error instanceof ReplyError) || UNFIT.test(error.message)) throw error
  }
}

/** Errors of a server that cannot serve yet, or refuses this account. */
const UNFIT = /^(LOADING|MASTERDOWN|NOAUTH|WRONGPASS)\b/

async function masterOf(connection: RespConnection, name: string): Promise<Endpoint> {
  const answer = await connection.call('SENTINEL', 'get-master-addr-by-name', name)
  if (!Array.isArray(answer)) throw new Error(`it has no master '${name}'`)
  const [host, port] = answer
  return { host: String(host), port: Number(port) }
}

async function masterOfSlot(connection: RespConnection, asked: Endpoint, slot: number): Promise<Endpoint> {
  const ranges = (await connection.call('CLUSTER', 'SLOTS')) as Reply[]
  for (const range of ranges) {
    const [from, to, master] = range as [number, number, [string, number]]
    if (slot < from || slot > to) continue
    // a node that does not know its own address yet returns an empty host
    const host = master[0] === '' && 'host' in asked ? asked.host : master[0]
    return { host, port: master[1] }
  }
  throw new Error(`no node serves slot ${slot}`)
}

/**
 * The hash slot of a key in a Redis cluster, 0 to 16383: CRC16 (XMODEM) of the text between the first braces, or of the
 * whole key without them, modulo 16384.
 */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open === -1 ? -1 : key.indexOf('}', open + 1)
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key
  let crc = 0
  for (const byte of Buffer.from(hashed)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++)
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
  }
  return crc % 16_384
}

function nameOf(endpoint: Endpoint): string {
  return 'path' in endpoint ? endpoint.path : `${endpoint.host}:${endpoint.port}`
}
