// A herd of blockers and their siblings, and a way to trigger one of them.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import { herdFolder, startHerd } from '../../helpers/herd.ts'
import type { Herd } from '../../helpers/herd.ts'
import { blocker, FILES, SIBLINGS } from './acts.ts'
import type { Act } from './acts.ts'

export interface BlockersOptions {
  readonly folder?: string
  /** Config of each blocker. */
  readonly worker?: object
  /** Config of individual blockers, instead of `worker`. */
  readonly workers?: Readonly<Record<string, object>>
  /** Whether to wait until the loop is watched. @default true */
  readonly watched?: boolean
}

export async function startBlockers(
  t: Test,
  acts: Readonly<Record<string, Act>>,
  { folder = herdFolder(t), worker = {}, workers = {}, watched = true }: BlockersOptions = {},
): Promise<Herd> {
  execFileSync('mkfifo', ['-m', '600', join(folder, 'fifo')])
  const sources = Object.entries(acts).map(([name, act]) => [name, blocker(act)] as const)
  const herd = await startHerd(t, {
    folder,
    files: FILES,
    workers: { ...SIBLINGS, ...Object.fromEntries(sources) },
    config: {
      ...(watched ? {} : { defaults: { stall: { detect: false } } }),
      workers: {
        clerk: { config: { socket: join(folder, 'go.sock') } },
        ...Object.fromEntries(sources.map(([name]) => [name, workers[name] ?? worker])),
      },
    },
    args: ['--log-level', 'debug'],
    env: { STALL_FIFO: join(folder, 'fifo') },
  })
  if (watched) await herd.line({ event: 'stall-watch' })
  return herd
}

export async function trigger(herd: Herd, worker: string): Promise<void> {
  const socket = connect(join(herd.folder, 'go.sock'))
  socket.end(`go.${worker}\n`)
  await once(socket.resume(), 'close')
}

/** Writes into the pipe 2.5 s after the worker has begun to read from it. */
export async function feedFifo(herd: Herd): Promise<void> {
  const child = spawn('sh', ['-c', `sleep 2.5; echo x > ${join(herd.folder, 'fifo')}`], { stdio: 'ignore' })
  await once(child, 'close')
}
