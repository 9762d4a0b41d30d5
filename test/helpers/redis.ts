// A real redis-server for one test file: a random port, nothing on disk, ended by its pid.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'

const BINARY = '/usr/bin/redis-server'
/** Ports that are tried when another process got the free one first. */
const PORT_TRIES = 5

/** Why tests on a real server cannot run here, or false: what tap's `skip` takes. */
export const noRedis: string | false = existsSync(BINARY)
  ? false
  : `${BINARY} is not there (apt install redis-server)`

export interface TestRedis {
  readonly port: number
  readonly url: string
  readonly pid: number
  /** Ends it with the signal (SIGKILL unless given) and waits until it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** The same port again. */
  start(): Promise<void>
  signal(signal: NodeJS.Signals): void
  /** One command on a connection of its own. */
  call(command: string, ...args: (string | number)[]): Promise<unknown>
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

/** `args` are added to the command line. It listens when this resolves, unless `absent`. Without `port` it takes a free one. */
export async function startRedis(
  options: {
    args?: string[]
    absent?: boolean
    password?: string
    port?: number
    /** Runs as a sentinel by this file, which names the port. */
    sentinelFile?: string
  } = {},
): Promise<TestRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'byre-redis-'))
  let port = options.port ?? (await freePort())
  let child: ChildProcess | undefined
  const server: TestRedis = {
    get port() {
      return port
    },
    get url() {
      return `redis://127.0.0.1:${port}`
    },
    get pid() {
      return child!.pid!
    },
    async start() {
      child = spawn(
        BINARY,
        options.sentinelFile !== undefined
          ? [options.sentinelFile, '--sentinel']
          : ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', ''].concat(
              ['--unixsocket', join(folder, 's'), '--appendonly', 'no'],
              options.args ?? [],
            ),
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      const lines = createInterface({ input: child.stdout! })
      const all: string[] = []
      await new Promise<void>((resolve, reject) => {
        lines.on('line', (line) => {
          all.push(line)
          if (/Ready to accept connections|Sentinel ID is/.test(line)) resolve()
        })
        child!.once('exit', () => reject(new Error(`redis-server ended:\n${all.join('\n')}`)))
        child!.once('error', reject)
      })
    },
    async kill(signal = 'SIGKILL') {
      const ended = child
      child = undefined
      if (ended === undefined || ended.exitCode !== null || ended.signalCode !== null) return
      const exit = once(ended, 'exit')
      ended.kill(signal)
      await exit
    },
    signal: (signal) => void child!.kill(signal),
    async call(command, ...args) {
      const client = new Redis({
        path: join(folder, 's'),
        lazyConnect: true,
        retryStrategy: () => null,
        ...(options.password === undefined ? {} : { password: options.password }),
      })
      try {
        await client.connect()
        return await client.call(command, ...args)
      } finally {
        client.disconnect()
      }
    },
    async stop() {
      await server.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  for (let tries = 1; options.absent !== true; tries++) {
    try {
      await server.start()
      break
    } catch (error) {
      const retry = options.port === undefined && tries < PORT_TRIES && /already in use/.test(String(error))
      if (!retry) throw error
      port = await freePort()
    }
  }
  return server
}

/** A port that is free now. Another process may get it before it is used. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

export async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1')
  try {
    await once(probe, 'listening')
  } catch {
    return false // in use
  }
  probe.close()
  await once(probe, 'close')
  return true
}
