// `byre supervise` and `byre run`: hosts workers until they are done or told to stop. Top to bottom is the start-up.

import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../base/clock.ts'
import type { Clock } from '../../base/clock.ts'
import { ByreError, describeThrown } from '../../base/errors.ts'
import { exitCodeOfSignal } from '../../base/exit-codes.ts'
import {
  checkSocketPath,
  herdDirectory,
  listSockets,
  readPlaces,
  runDirectory,
  socketPathOf,
  stateDirectory,
} from '../../base/places.ts'
import type { SocketOwner } from '../../base/places.ts'
import { takeMallocSetting } from '../../base/malloc.ts'
import { ownFile } from '../../base/own-files.ts'
import { createEmbeddedBus } from '../../bus/embedded.ts'
import type { HostBus } from '../../bus/bus.ts'
import type { EmbeddedBusOptions } from '../../bus/router.ts'
import { loadHerd } from '../../config/load.ts'
import type { ResolvedHerd, ResolvedWorker } from '../../config/types.ts'
import { createHerdLog } from '../../log/herd-log.ts'
import type { LogLevel } from '../../log/logger.ts'
import { startControlServer } from '../../control/server.ts'
import type { ControlServerOptions } from '../../control/server.ts'
import type { SupervisorLog } from '../../log/herd-log.ts'
import type { Supervisor } from '../../supervisor/options.ts'
import { hostedWorkers } from '../../herd/worker-set.ts'
import type { ControlTarget } from '../../herd/status.ts'
import { createSupervisor } from '../../supervisor/supervisor.ts'
import type { ServiceManager } from '../service-manager.ts'

export interface SuperviseFlags {
  readonly config?: string
  readonly group?: string
  readonly only?: readonly string[]
  readonly socket?: string
  readonly logLevel?: LogLevel
  readonly logFormat?: 'auto' | 'json' | 'pretty' | 'journal'
  /** Set by `byre run`. */
  readonly worker?: string
}

// The guards replace process.exit while workers are hosted; the second signal must still end the process at once.
const exitNow = process.exit.bind(process)

/** Hosts until everything is down, then ends the process. Rejects when nothing could be started. */
export async function supervise(flags: SuperviseFlags): Promise<never> {
  const spawnMs = Math.round(performance.nodeTiming.bootstrapComplete)
  const importsMs = elapsedSince(spawnMs)
  takeMallocSetting(process.env)
  const cwd = process.cwd()
  const herd = await loadHerd({ cwd, ...(flags.config === undefined ? {} : { file: flags.config }) })
  const configMs = elapsedSince(spawnMs + importsMs)
  const hosting = whatToHost(herd, flags)
  const places = readPlaces()
  const socketPath =
    flags.socket === undefined
      ? socketPathOf(runDirectory(places), herd.name, hosting.owner)
      : checkSocketPath(flags.socket)
  const log = await createHerdLog({
    level: flags.logLevel ?? 'info',
    format: flags.logFormat ?? 'auto',
    env: process.env,
  })
  const stateFolder = `${stateDirectory(places)}/${herd.name}`
  const manager = await connectServiceManager(herd, hosting, log)
  const bus = await openBus(herd, log)
  warnOfPrivateBus(herd, hosting, bus, log)

  // Alone, the worker's `env` is in process.env as well; the places above are those of the process itself.
  if (flags.worker !== undefined)
    Object.assign(process.env, herd.workers.find(({ name }) => name === flags.worker)?.env)
  const supervisor = createSupervisor({
    herd,
    ...hosting,
    bus,
    ...(bus.kind === 'embedded' ? {} : (await import('../shared-bus.ts')).withSharedBus(bus)),
    log,
    clock: systemClock,
    random: Math.random,
    stateFolder,
    ownRoot: fileURLToPath(ownFile('')),
    phases: { spawnMs, importsMs, configMs, busMs: elapsedSince(spawnMs + importsMs + configMs) },
    processStartedAt: 0,
    ...(manager === undefined ? {} : { onDraining: (why: string) => manager.stopping(why) }),
  })
  manager?.watch(supervisor)
  const control = await listen(herd, hosting, {
    target: supervisor,
    socketPath,
    log: log.root,
    clock: systemClock,
  })
  const leaveFleet =
    bus.kind === 'embedded'
      ? () => {}
      : (await import('../shared-bus.ts')).openFleetControl(herd, bus, supervisor, log, hosting.label)
  await refuseDoubles(herd, hosting, stateFolder, { socketPath, target: supervisor, log }).catch(
    async (error: unknown) => {
      await control.close()
      throw error
    },
  )
  const reload = async (): Promise<readonly ResolvedWorker[]> => {
    const { loadHerdInChild } = await import('../../config/load-in-child.ts')
    const next = await loadHerdInChild({
      cwd,
      file: herd.file,
      onOutput: (text) => log.root.info({ event: 'config-output', text }, 'the config printed something'),
    })
    const refused = supervisor.reload(next)
    if (refused.length > 0) throw new ReloadRefused(refused)
    return hostedWorkers(next, hosting)
  }
  handleSignals(supervisor, log, async () => (manager === undefined ? reload() : manager.reload(reload)))
  try {
    await supervisor.start()
    void supervisor.exited.then(leaveFleet)
    await manager?.ready()
    const code = await supervisor.exited
    await Promise.all([control.close(), manager?.close()])
    // With the guards still in place: what a worker does at exit must not change the exit code of the herd.
    return exitNow(code)
  } catch (error) {
    await control.close()
    supervisor.release()
    throw error
  }
}

/** Tells systemd, when it asks to be told. */
async function connectServiceManager(
  herd: ResolvedHerd,
  hosting: Hosting,
  log: SupervisorLog,
): Promise<ServiceManager | undefined> {
  if ((process.env['NOTIFY_SOCKET'] ?? '') === '') return undefined
  const { connectServiceManager: connect } = await import('../service-manager.ts')
  return connect({ env: process.env, log: log.root, hosted: hostedWorkers(herd, hosting) })
}

/** The control socket, and the HTTP listener where the config wants one. A worker alone has none: the herd has the port. */
async function listen(
  herd: ResolvedHerd,
  hosting: Hosting,
  options: ControlServerOptions & { readonly clock: Clock },
): Promise<{ close(): Promise<void> }> {
  const control = await startControlServer(options)
  if (herd.http === undefined || hosting.mode === 'run') return control
  const { openHttpListener } = await import('../../control/http-listener.ts')
  const listener = await openHttpListener({ ...herd.http, ...options })
  return { close: async () => void (await Promise.all([control.close(), listener?.close()])) }
}

/** Whole milliseconds since process start, less those accounted for. */
function elapsedSince(accountedMs: number): number {
  return Math.max(0, Math.round(performance.now() - accountedMs))
}

interface Hosting {
  readonly group: string | undefined
  readonly label: string
  readonly owner: SocketOwner
  readonly only?: readonly string[]
  readonly mode: 'supervise' | 'run'
  /** Names, in config order. */
  readonly workers: readonly string[]
}

function whatToHost(herd: ResolvedHerd, flags: SuperviseFlags): Hosting {
  const known = herd.workers.map((spec) => spec.name)
  const wanted = flags.worker === undefined ? flags.only : [flags.worker]
  const unknown = (wanted ?? []).filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot host ${unknown.map((name) => `'${name}'`).join(', ')}: ${herd.file} has ${known.join(', ')}.`,
    )
  }
  const groups = [...new Set(herd.workers.map((spec) => spec.group))]
  if (flags.group !== undefined && !groups.includes(flags.group)) {
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot host group '${flags.group}': ${herd.file} has ${groups.join(', ')}.`,
    )
  }
  const group = flags.worker === undefined ? flags.group : undefined
  const choice = { group, ...(wanted === undefined ? {} : { only: wanted }) }
  const workers = hostedWorkers(herd, choice).map((spec) => spec.name)
  if (workers.length === 0)
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot host: no worker is both in group '${String(group)}' and in --only.`,
    )
  const { worker } = flags
  if (worker !== undefined)
    return { ...choice, label: `run-${worker}`, owner: { kind: 'run', worker }, mode: 'run', workers }
  const owner: SocketOwner = group === undefined ? { kind: 'all' } : { kind: 'group', group }
  return { ...choice, label: group ?? '_all', owner, mode: 'supervise', workers }
}

async function openBus(herd: ResolvedHerd, log: SupervisorLog): Promise<HostBus> {
  const options: EmbeddedBusOptions = {
    messageBytes: herd.limits.messageBytes,
    buffer: herd.limits.buffer,
    clock: systemClock,
    onDrop: ({ owner, ...drop }) => {
      // Folded by the log: a consumer that falls behind drops many.
      const teller = owner === undefined ? log.root : log.about(owner)
      teller.warn(
        { event: 'bus-drop', ...drop },
        `a subscription overflowed: messages of ${drop.pattern} are dropped`,
      )
    },
  }
  if (herd.bus.kind === 'embedded') return createEmbeddedBus(options)
  const { openSharedBus } = await import('../shared-bus.ts')
  return openSharedBus(herd, log, options)
}

/** After the own socket is there and before a worker starts: of two processes that start at once one sees the other. */
async function refuseDoubles(
  herd: ResolvedHerd,
  { label }: Hosting,
  stateFolder: string,
  own: { readonly socketPath: string; readonly target: ControlTarget; readonly log: SupervisorLog },
): Promise<void> {
  const { socketPath, target, log } = own
  const folder = herdDirectory(runDirectory(readPlaces()), herd.name)
  const { markHerd } = await import('../../control/herd-mark.ts')
  const siblings = await markHerd({
    configFile: herd.file,
    herd: herd.name,
    stateStem: `${stateFolder}/${label}`,
    label,
    socketPath: resolve(socketPath),
  })
  if (siblings.length === 0 && listSockets(folder).every((path) => path === socketPath)) return
  const { refuseLiveElsewhere } = await import('../../control/live-elsewhere.ts')
  const workersOf = (other: string): string[] =>
    herd.workers
      .filter(({ name, group }) => other === '_all' || other === group || other === `run-${name}`)
      .map(({ name }) => name)
  const options = { folder, siblings, workersOf, socketPath, target }
  for (const { name, reason } of await refuseLiveElsewhere(options))
    log.root.warn({ event: 'sibling-silent', sibling: name }, `${reason} Its workers may live twice.`)
}

const MAX_TOPICS_TOLD = 50

/** The embedded bus reaches one process: topics that workers elsewhere wait for never arrive here, nor theirs there. */
function warnOfPrivateBus(herd: ResolvedHerd, hosting: Hosting, bus: HostBus, log: SupervisorLog): void {
  if (bus.kind !== 'embedded' || hosting.workers.length === herd.workers.length) return
  const all = herd.workers.flatMap(({ activation }) => (activation.kind === 'lazy' ? activation.topics : []))
  const topics = [...new Set(all)].slice(0, MAX_TOPICS_TOLD)
  log.root.warn(
    { event: 'private-bus', ...(topics.length === 0 ? {} : { topics }) },
    `the embedded bus is private to this process: ${topics.length === 0 ? 'nothing' : 'none of these topics, and nothing else'} ` +
      "that workers publish or subscribe to in code, crosses to other processes of the herd. Set bus: 'redis://host:6379' if it must",
  )
}

/** What a reload may not change; the supervisor has logged it. */
class ReloadRefused extends Error {
  constructor(refused: ReturnType<Supervisor['reload']>) {
    super(refused.map(({ path, message }) => `${path}: ${message}`).join('; '))
  }
}

/** A mistake in the config is the user's; where byre noticed it helps nobody. */
function described(error: unknown): object {
  const { stack, ...rest } = describeThrown(error)
  return error instanceof ByreError && error.code !== 'BYRE_INTERNAL'
    ? { ...rest, code: error.code }
    : { ...rest, stack }
}

const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const

/** First SIGTERM or SIGINT: graceful stop. Second: exit at once with 128+n. SIGHUP: reload. */
function handleSignals(supervisor: Supervisor, log: SupervisorLog, reload: () => Promise<unknown>): void {
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) {
        supervisor.abandon()
        exitNow(exitCodeOfSignal(SIGNAL_NUMBERS[signal]))
      }
      stopping = true
      void supervisor.stop(signal)
    })
  }
  // One evaluation runs and one more may wait: a burst of signals ends with the newest config.
  let reloading: Promise<void> | undefined
  let again = false
  process.on('SIGHUP', () => {
    if (stopping)
      return log.root.warn({ event: 'reload-refused' }, 'reload refused: the herd is being stopped')
    if (reloading !== undefined) {
      again = true
      return
    }
    const newest = async (): Promise<void> => {
      again = false
      try {
        await reload()
      } catch (error) {
        // A refusal is logged where it is made, with the path of each problem.
        if (!(error instanceof ReloadRefused))
          log.root.error(
            { event: 'reload-failed', ...described(error) },
            'reload failed; the old config keeps running',
          )
      }
      if (again) await newest()
    }
    reloading = newest().finally(() => (reloading = undefined))
  })
}
