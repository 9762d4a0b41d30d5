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

/** The endpoint to connect to for keys that begin with `prefix`. Rejects when nobody who was asked could say. */
export async function locate(
  address: ServerAddress,
  prefix: string,
  clock: Clock,
  timeoutMs: number,
): Promise<Endpoint> {
  const { kind, endpoints } = address
  const [first] = endpoints
  if (kind === 'server' && first !== undefined) return first
  const reasons: string[] = []
  for (const endpoint of endpoints) {
    try {
      return await ask(address, endpoint, prefix, clock, timeoutMs)
    } catch (error) {
      reasons.push(`${nameOf(endpoint)}: ${describeThrown(error).message}`)
    }
  }
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
  const connection = await openResp(endpoint, kind === 'cluster' ? account : asSentinel, clock, timeoutMs)
  const timer = clock.setTimer(timeoutMs, () => connection.close())
  try {
    if (kind === 'cluster') return await masterOfSlot(connection, endpoint, slotOf(prefix))
    const master = await masterOf(connection, masterName ?? 'mymaster')
    await assertMaster(master, account, clock, timeoutMs)
    return master
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
  const connection = await openResp(named, account, clock, timeoutMs)
  const timer = clock.setTimer(timeoutMs, () => connection.close())
  try {
    const [role] = (await connection.call('ROLE')) as Reply[]
    if (role !== 'master') throw new Error(`it names ${nameOf(named)}, which is a ${String(role)}`)
  } catch (error) {
    // an ACL may withhold ROLE: then the sentinel is believed
    if (!(error instanceof ReplyError && error.message.startsWith('NOPERM'))) throw error
  } finally {
    timer.cancel()
    connection.close()
  }
}

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

export function nameOf(endpoint: Endpoint): string {
  return 'path' in endpoint ? endpoint.path : `${endpoint.host}:${endpoint.port}`
}
