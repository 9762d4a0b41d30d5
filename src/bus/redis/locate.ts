// Which server to talk to: the one named, the master the sentinels name, or the master of the herd's slot in a cluster.
// Asked anew for each connection, so that a failover is followed by connecting again.

import type { Clock } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import { openResp, ReplyError } from './resp.ts'
import type { Account, Endpoint, Reply, RespConnection } from './resp.ts'
import { slotOf } from './slot.ts'

export interface ServerAddress {
  readonly kind: 'server' | 'sentinels' | 'cluster'
  /** The server itself, or whom to ask. */
  readonly endpoints: readonly Endpoint[]
  /** What the sentinels call the master. */
  readonly masterName?: string
  readonly account: Account
  /** For the sentinels, if they want one. */
  readonly sentinelPassword?: string
}

/** By address: the place in its list to begin with. */
const beginAt = new WeakMap<ServerAddress, number>()

/**
 * The endpoint to connect to for keys that begin with `prefix`. Begins with whoever answered last time; each that is
 * asked gets half of what is left of `timeoutMs`, the last one all. Rejects when nobody could say, within `timeoutMs`;
 * the next call begins with another, so that each has the longest time in its turn.
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
  const begin = beginAt.get(address) ?? 0
  const order = [...endpoints.keys()].map((index) => (begin + index) % endpoints.length)
  const reasons: string[] = []
  for (const index of order) {
    const endpoint = endpoints[index] as Endpoint
    const leftMs = until - clock.monotonic()
    const shareMs = index === order.at(-1) ? leftMs : leftMs / 2
    try {
      const master = await ask(address, endpoint, prefix, clock, Math.max(1, Math.floor(shareMs)))
      beginAt.set(address, index)
      return master
    } catch (error) {
      reasons.push(`${nameOf(endpoint)}: ${describeThrown(error).message}`)
    }
  }
  beginAt.set(address, begin + 1)
  throw new Error(`none of the ${kind} could name the master: ${reasons.join('; ')}`)
}

async function ask(
  address: ServerAddress,
  endpoint: Endpoint,
  prefix: string,
  clock: Clock,
  timeoutMs: number,
): Promise<Endpoint> {
  const { kind, masterName, account, sentinelPassword } = address
  const { tls } = account
  const asSentinel: Account = {
    ...(tls === undefined ? {} : { tls }),
    ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
  }
  const login = kind === 'cluster' ? account : asSentinel
  const until = clock.monotonic() + timeoutMs
  const master = await conversed(endpoint, login, clock, timeoutMs, (connection) =>
    kind === 'cluster'
      ? masterOfSlot(connection, endpoint, slotOf(prefix))
      : masterOf(connection, masterName ?? 'mymaster'),
  )
  if (kind === 'sentinels') await assertMaster(master, account, clock, until - clock.monotonic())
  return master
}

/** What `converse` makes of a connection, which is closed after it, and after `timeoutMs`. */
async function conversed<T>(
  endpoint: Endpoint,
  account: Account,
  clock: Clock,
  timeoutMs: number,
  converse: (connection: RespConnection) => Promise<T>,
): Promise<T> {
  const until = clock.monotonic() + timeoutMs
  const connection = await openResp(endpoint, account, clock, Math.max(1, Math.floor(timeoutMs)))
  const timer = clock.setTimer(Math.max(0, until - clock.monotonic()), () => connection.close())
  try {
    return await converse(connection)
  } finally {
    timer.cancel()
    connection.close()
  }
}

/** A sentinel that was cut off names the master of yesterday. A replica takes a PUBLISH and tells its own subscribers
 *  alone: nothing would show that the messages are lost. */
async function assertMaster(
  named: Endpoint,
  account: Account,
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  try {
    const answer = await conversed(named, account, clock, timeoutMs, (master) => master.call('ROLE'))
    const role = Array.isArray(answer) ? answer[0] : 'master'
    if (role !== 'master') throw new Error(`it names ${nameOf(named)}, which is a ${String(role)}`)
  } catch (error) {
    // who withholds ROLE (an ACL, rename-command, a proxy) leaves the sentinel's word
    if (!(error instanceof ReplyError) || UNFIT.test(error.message)) throw error
  }
}

/** A server that cannot serve yet, or not us. */
const UNFIT = /^(LOADING|MASTERDOWN|NOAUTH|WRONGPASS)\b/

async function masterOf(connection: RespConnection, name: string): Promise<Endpoint> {
  const answer = await connection.call('SENTINEL', 'get-master-addr-by-name', name)
  if (!Array.isArray(answer)) throw new Error(`it knows no master '${name}'`)
  const [host, port] = answer
  return { host: String(host), port: Number(port) }
}

async function masterOfSlot(connection: RespConnection, asked: Endpoint, slot: number): Promise<Endpoint> {
  const ranges = (await connection.call('CLUSTER', 'SLOTS')) as Reply[]
  for (const range of ranges) {
    const [from, to, master] = range as [number, number, [string, number]]
    if (slot < from || slot > to) continue
    // a node that does not know its own name yet leaves the host empty
    const host = master[0] === '' && 'host' in asked ? asked.host : master[0]
    return { host, port: master[1] }
  }
  throw new Error(`no node serves slot ${slot}`)
}

function nameOf(endpoint: Endpoint): string {
  return 'path' in endpoint ? endpoint.path : `${endpoint.host}:${endpoint.port}`
}
