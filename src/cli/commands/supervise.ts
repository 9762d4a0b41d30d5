// `byre supervise` and `byre run`: host workers until they are done or stopped. supervise() is the start-up sequence.

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

// byre replaces process.exit while it hosts workers. The second signal must still end the process at once.
const exitNow = process.exit.bind(process)

/** Hosts workers until all have ended, then exits the process. Rejects when the start fails. */
export async function supervise(flags: SuperviseFlags): Promise<never> {
  const spawnMs = Math.round(performance.nodeTiming.bootstrapComplete)
  const importsMs = elapsedSince(spawnMs)
  takeMallocSetting(process.env)
  const cwd = process.cwd()
  const herd = await loadHerd({ cwd, ...(flags.config === undefined ? {} : { file: flags.config }) })
  const configMs = elapsedSince(spawnMs + importsMs)
  const hosting = selectWorkers(herd, flags)
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
  warnAboutPrivateBus(herd, hosting, bus, log)

  // `byre run` also puts the worker's `env` into process.env. The paths above come from the environment of the process.
  if (flags.worker !== undefined)
    Object.assign(process.env, herd.workers.find(({ name }) => name === flags.worker)?.env)
  const supervisor = createSupervisor({
    herd,
    ...hosting,
    bus,
    ...(bus.kind === 'embedded' ? {} : { leasing: (await import('../shared-bus.ts')).createLeasing(bus) }),
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
  await refuseDuplicates(herd, hosting, stateFolder, { socketPath, target: supervisor, log }).catch(
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
      onOutput: (text) => log.root.info({ event: 'config-output', text }, 'output of the config'),
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
    // process.exit is still replaced: exit handlers of a worker must not change the exit code of the herd.
    return exitNow(code)
  } catch (error) {
    await control.close()
    supervisor.release()
    throw error
  }
}

/** Connects to systemd if it started this process with a notification socket. */
async function connectServiceManager(
  herd: ResolvedHerd,
  hosting: Hosting,
  log: SupervisorLog,
): Promise<ServiceManager | undefined> {
  if ((process.env['NOTIFY_SOCKET'] ?? '') === '') return undefined
  const { connectServiceManager: connect } = await import('../service-manager.ts')
  return connect({ env: process.env, log: log.root, hosted: hostedWorkers(herd, hosting) })
}

/** Opens the control socket and, if configured, the HTTP listener. `byre run` has no listener, since the herd uses the port. */
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

/** Whole milliseconds since process start, minus `accountedMs`. */
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

function selectWorkers(herd: ResolvedHerd, flags: SuperviseFlags): Hosting {
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
      // The log folds repeated lines: a slow consumer drops many messages.
      const logger = owner === undefined ? log.root : log.about(owner)
      logger.warn(
        { event: 'bus-drop', ...drop },
        `a subscription overflowed: messages of ${drop.pattern} are dropped`,
      )
    },
  }
  if (herd.bus.kind === 'embedded') return createEmbeddedBus(options)
  const { openSharedBus } = await import('../shared-bus.ts')
  return openSharedBus(herd, log, options)
}

/** Called after the own socket exists and before a worker starts, so that of two processes that start at the same time at
 *  least one sees the other. */
async function refuseDuplicates(
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
    log.root.warn({ event: 'sibling-silent', sibling: name }, `${reason} Its workers may run twice.`)
}

const MAX_TOPICS_LOGGED = 50

/** Warns when a herd with the embedded bus is split over several processes: messages do not cross between them. */
function warnAboutPrivateBus(herd: ResolvedHerd, hosting: Hosting, bus: HostBus, log: SupervisorLog): void {
  if (bus.kind !== 'embedded' || hosting.workers.length === herd.workers.length) return
  const all = herd.workers.flatMap(({ activation }) => (activation.kind === 'lazy' ? activation.topics : []))
  const topics = [...new Set(all)].slice(0, MAX_TOPICS_LOGGED)
  log.root.warn(
    { event: 'private-bus', ...(topics.length === 0 ? {} : { topics }) },
    `the embedded bus is private to this process: messages ${topics.length === 0 ? '' : 'on these and all other topics '}` +
      "do not reach other processes of the herd. Set bus: 'redis://host:6379' to connect them",
  )
}

/** A reload with changes that need a restart. The supervisor has logged them. */
class ReloadRefused extends Error {
  constructor(refused: ReturnType<Supervisor['reload']>) {
    super(refused.map(({ path, message }) => `${path}: ${message}`).join('; '))
  }
}

/** Omits the stack of an error in the config, since its place in byre's code is of no use. */
function described(error: unknown): object {
  const { stack, ...rest } = describeThrown(error)
  return error instanceof ByreError && error.code !== 'BYRE_INTERNAL'
    ? { ...rest, code: error.code }
    : { ...rest, stack }
}

const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const

/** The first SIGTERM or SIGINT stops the herd gracefully, the second exits at once with 128+n. SIGHUP reloads the config. */
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
  // One reload runs and at most one more waits, so that a burst of signals ends with the newest config.
  let reloading: Promise<void> | undefined
  let again = false
  process.on('SIGHUP', () => {
    if (stopping)
      return log.root.warn({ event: 'reload-refused' }, 'reload refused: the herd is being stopped')
    if (reloading !== undefined) {
      again = true
      return
    }
    const reloadLatest = async (): Promise<void> => {
      again = false
      try {
        await reload()
      } catch (error) {
        // The supervisor logs a refusal with the path of each problem.
        if (!(error instanceof ReloadRefused))
          log.root.error(
            { event: 'reload-failed', ...described(error) },
            'reload failed; the old config stays active',
          )
      }
      if (again) await reloadLatest()
    }
    reloading = reloadLatest().finally(() => (reloading = undefined))
  })
}
