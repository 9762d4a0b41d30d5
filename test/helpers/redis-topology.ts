// Several real redis-servers that know each other: a master with a replica and three sentinels, or a cluster.
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { WAIT_MS } from './events.ts'
import { freePort, isFree, startRedis } from './redis.ts'
import type { TestRedis } from './redis.ts'

export interface Listener {
  readonly host: string
  readonly port: number
}

export interface SentinelSet {
  readonly sentinels: readonly Listener[]
  readonly name: string
  /** The server that is the master when it began. */
  readonly master: TestRedis
  readonly replica: TestRedis
  stop(): Promise<void>
}

/** One command on a connection of its own. */
export async function ask(port: number, command: string, ...args: (string | number)[]): Promise<unknown> {
  const client = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: () => null })
  try {
    await client.connect()
    return await client.call(command, ...args)
  } finally {
    client.disconnect()
  }
}

/** Asks until `check` is satisfied with the answer; rejects at the deadline with the last one. */
export async function until(
  port: number,
  command: readonly string[],
  check: (answer: string) => boolean,
): Promise<void> {
  const [name = 'PING', ...args] = command
  const deadline = performance.now() + WAIT_MS
  for (;;) {
    const answer = JSON.stringify(await ask(port, name, ...args).catch(String))
    if (check(answer)) return
    if (performance.now() > deadline)
      throw new Error(
        `waited ${WAIT_MS} ms for ${command.join(' ')} of port ${port} to satisfy ${String(check)}; last ${answer}`,
      )
    await new Promise((resolve) => setTimeout(resolve, 50)) // another process must get on with it
  }
}

/** In CLUSTER NODES: the node knows `count` nodes, none in handshake, and has a link to each of the others. Without its
 *  link a node gets no PUBLISH of this one, and nobody is told. */
function isLinked(text: string, count: number): boolean {
  const nodes = (JSON.parse(text) as string).split('\n').filter((line) => line !== '')
  const linked = nodes.filter((line) => {
    const [, , flags = '', , , , , link] = line.split(' ')
    return link === 'connected' && !/handshake|noaddr|fail/.test(flags)
  })
  return nodes.length === count && linked.length === count
}

/** A sentinel takes a master for dead after 1 s. */
export async function startSentinels(): Promise<SentinelSet> {
  const folder = mkdtempSync(join(tmpdir(), 'byre-sentinels-'))
  const master = await startRedis()
  const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', `${master.port}`] })
  await until(replica.port, ['INFO', 'replication'], (text) => text.includes('master_link_status:up'))
  const sentinels: TestRedis[] = []
  for (let n = 0; n < 3; n++) {
    const file = join(folder, `${n}.conf`)
    const port = await freePort()
    writeFileSync(
      file,
      [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${folder}`,
        `sentinel monitor shop 127.0.0.1 ${master.port} 2`,
        'sentinel down-after-milliseconds shop 1000',
        'sentinel failover-timeout shop 5000',
        'sentinel parallel-syncs shop 1',
      ].join('\n'),
    )
    sentinels.push(await startRedis({ sentinelFile: file, port }))
  }
  for (const { port } of sentinels)
    await until(port, ['SENTINEL', 'MASTER', 'shop'], (text) =>
      /"num-slaves","1".*"num-other-sentinels","2"/.test(text),
    )
  return {
    sentinels: sentinels.map(({ port }) => ({ host: '127.0.0.1', port })),
    name: 'shop',
    master,
    replica,
    async stop() {
      for (const server of [...sentinels, master, replica]) await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export interface ClusterSet {
  readonly nodes: readonly TestRedis[]
  readonly listeners: readonly Listener[]
  /** The node that is the master of that slot now, as `asked` sees it. */
  masterOf(slot: number, asked: TestRedis): Promise<TestRedis>
  stop(): Promise<void>
}

/** Three masters, and a replica of each when `replicas`. */
export async function startCluster(replicas: boolean): Promise<ClusterSet> {
  const nodes: TestRedis[] = []
  for (let n = 0; n < (replicas ? 6 : 3); n++)
    nodes.push(
      await startRedis({
        port: await lowPort(),
        args: [
          '--cluster-enabled',
          'yes',
          '--cluster-node-timeout',
          '1000',
          '--cluster-replica-validity-factor',
          '0',
        ],
      }),
    )
  const [first] = nodes
  const masters = nodes.slice(0, 3)
  for (const [n, node] of masters.entries()) {
    const from = Math.floor((16_384 * n) / 3)
    const to = Math.floor((16_384 * (n + 1)) / 3) - 1
    await ask(node.port, 'CLUSTER', 'ADDSLOTSRANGE', from, to)
    await ask(node.port, 'CLUSTER', 'SET-CONFIG-EPOCH', n + 1)
  }
  for (const node of nodes.slice(1)) await ask(node.port, 'CLUSTER', 'MEET', '127.0.0.1', first!.port)
  for (const { port } of nodes)
    await until(port, ['CLUSTER', 'NODES'], (text) => isLinked(text, nodes.length))
  for (const [n, node] of nodes.slice(3).entries()) {
    const id = String(await ask(masters[n]!.port, 'CLUSTER', 'MYID'))
    await until(node.port, ['CLUSTER', 'NODES'], (text) => text.includes(id))
    await ask(node.port, 'CLUSTER', 'REPLICATE', id)
    await until(node.port, ['INFO', 'replication'], (text) => text.includes('master_link_status:up'))
  }
  for (const { port } of nodes) {
    await until(port, ['CLUSTER', 'NODES'], (text) => isLinked(text, nodes.length))
    await until(port, ['CLUSTER', 'INFO'], (text) => text.includes('cluster_state:ok'))
  }
  return {
    nodes,
    listeners: nodes.map(({ port }) => ({ host: '127.0.0.1', port })),
    async masterOf(slot, asked) {
      for (const [from, to, [, port]] of (await ask(asked.port, 'CLUSTER', 'SLOTS')) as [
        number,
        number,
        [string, number],
      ][])
        if (slot >= from && slot <= to) return nodes.find((node) => node.port === port)!
      throw new Error(`nobody serves slot ${slot}`)
    },
    async stop() {
      for (const node of nodes) await node.stop()
    },
  }
}

/** A node of a cluster listens at its port + 10000 as well: both free, and below what the kernel gives to others. */
async function lowPort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = 11_000 + Math.floor(Math.random() * 11_000)
    if ((await isFree(port)) && (await isFree(port + 10_000))) return port
  }
  throw new Error(
    '100 ports between 11000 and 22000 were tried, and each is in use, or the one 10000 above it',
  )
}
