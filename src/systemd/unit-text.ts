// The text of a unit that hosts workers: how it starts, ends and restarts, and what it may do. Pure; systemd.exec(5) and
// systemd.service(5) explain the directives.

import { ByreError } from '../base/errors.ts'
import type { Grants } from './grants.ts'

export interface HostingUnit {
  readonly description: string
  /** The command after the launcher, unescaped: `supervise --group batch --config /srv/byre.config.js`. */
  readonly command: readonly string[]
  /** Arguments of byre-stopped: the herd, or NO_HERD, and the name of its files. */
  readonly stopped: readonly [herd: string, label: string]
  readonly install: Installation
  readonly grants: Grants
  readonly conflicts: readonly string[]
  /** Of a group: whom it was made for, for a swap to see whether that is still so. */
  readonly workers?: readonly string[]
  readonly after: readonly string[]
  readonly restart: 'always' | 'on-failure' | 'no'
  readonly startMs: number
  readonly stopMs: number
  readonly watchdogMs: number
  readonly memoryHighBytes?: number
  readonly memoryMaxBytes?: number
  /** Some worker lives in a process of its own. */
  readonly hasProcesses: boolean
  /** One of them has a memoryMax: byre holds it by a cgroup of its own below that of the unit. */
  readonly limitsProcesses: boolean
  /** Fields of every journal entry of the unit. */
  readonly logFields: Readonly<Record<string, string>>
  /** Folders it must be able to read, to know what may be hidden. */
  readonly reads: readonly string[]
}

/** Where things are on the machine the unit is for. */
export interface Installation {
  /** The folder with byre, byre-notify.pl and byre-stopped. */
  readonly unitsFolder: string
  /** The launcher, when it is not `<unitsFolder>/byre`. */
  readonly launcher?: string
  /** The folder with node. */
  readonly nodeFolder: string
  readonly user: string
  /** WorkingDirectory=: the folder of the config. */
  readonly folder: string
}

/** Written where they are, so that `systemctl cat` shows whose they are and what made them. */
export const HEADER = '# Made by `byre units`'

/** systemd passes over what begins with X-. */
export const WORKERS_KEY = 'X-ByreWorkers'

/** A herd may fail this often before systemd gives up on its unit: byre has its own limits for workers. */
const START_LIMIT = { intervalSec: 600, burst: 5 }

export function hostingUnitText(unit: HostingUnit): string {
  const { install } = unit
  const launcher = install.launcher ?? `${install.unitsFolder}/byre`
  return sections([
    [
      'Unit',
      [
        ['Description', specifiers(unit.description)],
        ['After', unit.after.join(' ')],
        // A second line of defence: `byre swap` masks the side that is not in use.
        ['Conflicts', unit.conflicts.join(' ')],
        [WORKERS_KEY, unit.workers?.join(' ')],
        ['StartLimitIntervalSec', `${START_LIMIT.intervalSec}s`],
        ['StartLimitBurst', `${START_LIMIT.burst}`],
      ],
    ],
    [
      'Service',
      [
        ['Type', 'notify'],
        ['NotifyAccess', 'main'],
        ['ExecStart', [launcher, ...unit.command].map(argument).join(' ')],
        ['ExecReload', '/bin/kill -HUP $MAINPID'],
        [
          'ExecStopPost',
          `-${[`${install.unitsFolder}/byre-stopped`, ...unit.stopped].map(argument).join(' ')}`,
        ],
        ['Environment', unit.stopped[0] === NO_HERD ? `BYRE_STOPPED=${NO_HERD}` : undefined],
        ['User', install.user],
        ['WorkingDirectory', specifiers(install.folder)],
        ['Environment', pathVariable(install.nodeFolder)],
        ['RuntimeDirectory', 'byre'],
        ['RuntimeDirectoryMode', '0700'],
        // Shared by all units of byre: one that stops must not take the sockets of the others along.
        ['RuntimeDirectoryPreserve', 'yes'],
        ['StateDirectory', 'byre'],
        ['StateDirectoryMode', '0700'],
        ['Restart', unit.restart],
        ['RestartSec', '1s'],
        // The config is invalid: starting again will not mend it.
        ['RestartPreventExitStatus', '78'],
        ['WatchdogSec', seconds(unit.watchdogMs)],
        ['TimeoutStartSec', seconds(unit.startMs)],
        ['TimeoutStopSec', seconds(unit.stopMs)],
        // byre stops its own processes in their order; what is left after the time is killed.
        ['KillMode', 'mixed'],
        ['SyslogIdentifier', 'byre'],
        [
          'LogExtraFields',
          Object.entries(unit.logFields)
            .map(([name, value]) => `${name}=${value}`)
            .join(' '),
        ],
        ['Slice', 'byre.slice'],
        ['MemoryAccounting', 'yes'],
        ['MemoryHigh', unit.memoryHighBytes],
        ['MemoryMax', unit.memoryMaxBytes],
        // A worker in a process of its own that the kernel kills is byre's to restart: its siblings stay.
        ['OOMPolicy', unit.hasProcesses ? 'continue' : undefined],
        ...hardening(unit),
      ],
    ],
    ['Install', [['WantedBy', 'multi-user.target']]],
  ])
}

type Directive = readonly [name: string, value: string | number | undefined]

function hardening({ grants, install, reads, limitsProcesses }: HostingUnit): Directive[] {
  const places = [install.folder, install.unitsFolder, install.nodeFolder, ...reads]
  const lies = (...roots: string[]): boolean =>
    [...places, ...grants.paths.map(({ value }) => value)].some((path) =>
      roots.some((root) => path === root || path.startsWith(`${root}/`)),
    )
  const capabilities = grants.capabilities.map(({ value }) => value).join(' ')
  return [
    ['SupplementaryGroups', grants.groups.map(({ value }) => value).join(' ')],
    ['ReadWritePaths', grants.paths.map(({ value }) => word(`-${value}`)).join(' ')],
    ['AmbientCapabilities', capabilities],
    ['CapabilityBoundingSet', capabilities === '' ? '""' : capabilities],
    ...network(grants),
    ['NoNewPrivileges', 'yes'],
    ['UMask', '0077'],
    ['ProtectSystem', 'strict'],
    ['ProtectHome', lies('/home', '/root', '/run/user') ? 'read-only' : 'yes'],
    ['PrivateTmp', lies('/tmp', '/var/tmp') ? 'no' : 'yes'],
    ['PrivateDevices', 'yes'],
    ['DevicePolicy', 'closed'],
    // A group of the host, or a capability in it, means nothing in a user namespace of the unit's own.
    ['PrivateUsers', capabilities === '' && grants.groups.length === 0 ? 'yes' : undefined],
    ['ProtectClock', 'yes'],
    // Delegation and protection exclude each other.
    ['ProtectControlGroups', limitsProcesses ? undefined : 'yes'],
    ['Delegate', limitsProcesses ? 'memory' : undefined],
    // Root may write to any cgroup: it is told that this one is its own.
    ['Environment', limitsProcesses && install.user === 'root' ? 'BYRE_CGROUP=own' : undefined],
    ['ProtectHostname', 'yes'],
    ['ProtectKernelLogs', 'yes'],
    ['ProtectKernelModules', 'yes'],
    ['ProtectKernelTunables', 'yes'],
    ['ProtectProc', 'invisible'],
    ['RestrictNamespaces', 'yes'],
    ['RestrictRealtime', 'yes'],
    ['RestrictSUIDSGID', 'yes'],
    ['LockPersonality', 'yes'],
    ['RemoveIPC', 'yes'],
    ['KeyringMode', 'private'],
    ['SystemCallArchitectures', 'native'],
    // Not MemoryDenyWriteExecute: V8 compiles to memory it then runs.
    ['SystemCallFilter', '@system-service'],
    ['SystemCallFilter', capabilities === '' ? '~@privileged @resources' : undefined],
    ['SystemCallErrorNumber', 'EPERM'],
  ]
}

function network({ network }: Grants): Directive[] {
  if (network === 'none')
    return [
      ['PrivateNetwork', 'yes'],
      ['RestrictAddressFamilies', 'AF_UNIX'],
      ['IPAddressDeny', 'any'],
    ]
  return [
    // AF_NETLINK: what resolves names asks the kernel for its addresses there.
    ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6 AF_NETLINK'],
    ['SocketBindDeny', network === 'outbound' ? 'any' : undefined],
  ]
}

const DEFAULT_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin']

/** systemd's own PATH, with node's folder in front when it is not in it. */
function pathVariable(nodeFolder: string): string | undefined {
  if (DEFAULT_PATH.includes(nodeFolder)) return undefined
  return word(`PATH=${[nodeFolder, ...DEFAULT_PATH].join(':')}`)
}

/** Sections with their directives; what has no value (undefined or '') is left out, `""` is the empty assignment. Throws
 *  BYRE_UNITS_TEXT for a value that systemd would not read as it is. */
export function sections(parts: readonly (readonly [string, readonly Directive[]])[]): string {
  return parts
    .map(([name, directives]) => {
      const lines = directives.flatMap(([key, value]) =>
        value === undefined || value === ''
          ? []
          : [`${key}=${value === '""' ? '' : checkLine(key, `${value}`)}`],
      )
      return `[${name}]\n${lines.join('\n')}\n`
    })
    .join('\n')
}

/** A line break would begin a directive of its own, a backslash at the end go on with the next; blanks around are cut off. */
function checkLine(key: string, value: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  if (!/[\u0000-\u001f\u007f]|^\s|[\s\\]$/.test(value)) return value
  throw new ByreError(
    'BYRE_UNITS_TEXT',
    `Cannot make units: what ${key}= has must be one line without control characters, without blanks around it or a backslash at its end, got ${JSON.stringify(value)}. Rename that path.`,
  )
}

/** One word of a list: quoted when it must be, `%` taken for what it is. */
function word(text: string): string {
  return quote(specifiers(text))
}

/** One word of a command line, where `$` means a variable as well. */
export function argument(text: string): string {
  return quote(specifiers(text).replaceAll('$', '$$$$'))
}

function quote(escaped: string): string {
  return /^[\w@%+=:,./$-]+$/.test(escaped) ? escaped : `"${escaped.replace(/["\\]/g, String.raw`\$&`)}"`
}

/** Of a template unit, whose config names the herd; no herd can be called so. */
export const NO_HERD = '-'

/** The instance of a template unit; the only specifier that is meant. */
export const INSTANCE = '\u0000i'

function specifiers(text: string): string {
  return text.replaceAll('%', '%%').replaceAll(INSTANCE, '%i')
}

/** systemd's spelling: whole seconds, rounded up; short ones in ms. */
function seconds(ms: number): string {
  return ms < 10_000 && ms % 1000 !== 0 ? `${Math.ceil(ms)}ms` : `${Math.ceil(ms / 1000)}s`
}
