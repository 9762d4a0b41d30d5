// The calls to systemctl that a swap makes: state of units, start, stop, enable, mask.

import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { ByreError } from '../base/errors.ts'
import { syncFolder } from './swap-journal.ts'
import { isEnabledOnDisk, isMaskedByHand } from './unit-files.ts'

export interface UnitState {
  readonly unit: string
  /** 'loaded', 'masked', 'not-found', ... */
  readonly load: string
  /** 'active', 'inactive', 'failed', 'activating', ... */
  readonly active: string
  /** The unit starts at boot, or would if it were not masked. */
  readonly enabled: boolean
  /** Masked by a swap. */
  readonly masked: boolean
  /** Masked by the operator, whether or not a swap has masked it too. */
  readonly maskedByHand: boolean
  /** 0 when none. */
  readonly mainPid: number
  readonly restarts: number
  /** Ms since it became active; absent while it is not. */
  readonly upMs?: number
  readonly result: string
  readonly statusText: string
  /** Services in its Conflicts=. */
  readonly conflicts: readonly string[]
  /** Its file has changed since systemd read it. For a masked unit with a drop-in systemd always reports this. */
  readonly outdated: boolean
  /** Sockets, timers and paths that start it, as far as systemd has loaded them. */
  readonly triggeredBy: readonly string[]
}

/** Folder of the masks of swaps. `systemctl mask` cannot mask a unit whose file is in /etc/systemd/system, and the
 *  operator's masks must stay separate. This folder has a higher priority than every folder of unit files
 *  (systemd.unit(5)) and survives a reboot. */
const MASKS = '/etc/systemd/system.control'
const UNITS = '/etc/systemd/system'

const PROPERTIES = [
  'Id',
  'LoadState',
  'ActiveState',
  'UnitFileState',
  'MainPID',
  'NRestarts',
  'ActiveEnterTimestampMonotonic',
  'Result',
  'StatusText',
  'Conflicts',
  'TriggeredBy',
  'NeedDaemonReload',
]

/** States in the order of `units`. Rejects with BYRE_SYSTEMD when systemctl fails. */
export async function showUnits(units: readonly string[]): Promise<UnitState[]> {
  if (units.length === 0) return []
  const text = await systemctl('show', `--property=${PROPERTIES.join(',')}`, '--', ...units)
  const nowMs = Number(process.hrtime.bigint() / 1_000_000n)
  return text
    .trim()
    .split('\n\n')
    .map((block, i) => parseUnit(units[i]!, block, nowMs))
}

function parseUnit(unit: string, block: string, nowMs: number): UnitState {
  const fields = new Map(
    block.split('\n').map((line) => {
      const at = line.indexOf('=')
      return [line.slice(0, at), line.slice(at + 1)] as const
    }),
  )
  const text = (name: string): string => fields.get(name) ?? ''
  const active = text('ActiveState')
  const masked = isMasked(unit)
  return {
    unit,
    load: text('LoadState'),
    active,
    enabled: text('UnitFileState') === 'enabled' || (masked && isEnabledOnDisk(unit)),
    masked,
    maskedByHand: isMaskedByHand(unit),
    mainPid: Number(text('MainPID')) || 0,
    restarts: Number(text('NRestarts')) || 0,
    ...(active === 'active' ? { upMs: nowMs - Number(text('ActiveEnterTimestampMonotonic')) / 1000 } : {}),
    result: text('Result'),
    statusText: text('StatusText'),
    conflicts: text('Conflicts')
      .split(' ')
      .filter((name) => name.endsWith('.service')),
    outdated: text('LoadState') === 'loaded' && text('NeedDaemonReload') === 'yes',
    triggeredBy: text('TriggeredBy').split(' ').filter(Boolean),
  }
}

/** Starts units and waits until they are active, which for Type=notify means READY. Sockets and timers start first,
 *  since a socket refuses to listen for a service that already runs. Rejects with BYRE_SYSTEMD and systemd's
 *  message. */
export async function startUnits(units: readonly string[]): Promise<void> {
  const services = units.filter((unit) => unit.endsWith('.service'))
  const triggers = units.filter((unit) => !services.includes(unit))
  for (const some of [triggers, services]) if (some.length > 0) await systemctl('start', '--', ...some)
}

/** Starts units without waiting, for units that were starting and may never become ready. */
export async function requestStart(units: readonly string[]): Promise<void> {
  if (units.length > 0) await systemctl('start', '--no-block', '--', ...units)
}

/** Stops units, waits until they are inactive and resets failed ones. Only running units are stopped: systemd
 *  refuses to stop a unit that is masked and not loaded. */
export async function stopUnits(units: readonly string[]): Promise<void> {
  const states = await showUnits(units)
  const up = states
    .filter(({ active }) => active !== 'inactive' && active !== 'failed')
    .map(({ unit }) => unit)
  if (up.length > 0) await systemctl('stop', '--', ...up)
  const after = await showUnits(units)
  const failed = after.filter(({ active }) => active === 'failed').map(({ unit }) => unit)
  if (failed.length > 0) await systemctl('reset-failed', '--', ...failed)
}

export async function enableUnits(units: readonly string[], enabled: boolean): Promise<void> {
  if (units.length > 0) await systemctl(enabled ? 'enable' : 'disable', '--', ...units)
}

/** Sets or removes masks. A masked unit cannot be started, not even by Conflicts= or a dependency. Idempotent. */
export async function setMasks(masks: readonly (readonly [unit: string, masked: boolean])[]): Promise<void> {
  for (const [unit, masked] of masks) {
    if (masked === isMasked(unit)) continue
    if (masked) {
      mkdirSync(MASKS, { recursive: true, mode: 0o755 })
      symlinkSync('/dev/null', join(MASKS, unit))
    } else rmSync(join(MASKS, unit))
  }
  await systemctl('daemon-reload')
}

/** Makes links durable, which needs a sync of their folder: the masks, and the links of `systemctl enable` and
 *  `disable`. */
export function syncLinks(): void {
  for (const folder of [MASKS, '/etc/systemd', UNITS, ...linkFolders()])
    try {
      syncFolder(folder)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
}

function linkFolders(): string[] {
  return readdirSync(UNITS)
    .filter((name) => name.endsWith('.wants') || name.endsWith('.requires'))
    .map((name) => join(UNITS, name))
}

function isMasked(unit: string): boolean {
  try {
    return readlinkSync(join(MASKS, unit)) === '/dev/null'
  } catch {
    return false
  }
}

/** Longer than any TimeoutStartSec= and TimeoutStopSec= of byre's units, so that systemd's limits apply. */
const TIMEOUT_MS = 4 * 3_600_000

function systemctl(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { maxBuffer: 64 << 20, timeout: TIMEOUT_MS }
    execFile('systemctl', ['--no-pager', ...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const why =
        stderr.trim().replace(/\.$/, '') || (error.signal ? `ended by ${error.signal}` : error.message)
      reject(new ByreError('BYRE_SYSTEMD', `systemctl ${args[0]} failed: ${why}`))
    })
  })
}
