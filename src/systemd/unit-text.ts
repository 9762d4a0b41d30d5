// The text of a unit that hosts workers: how it starts, stops and restarts, and its permissions. Pure. systemd.exec(5)
// and systemd.service(5) explain the directives.

import { ByreError } from '../base/errors.ts'
import type { Grants } from './grants.ts'

export interface HostingUnit {
  readonly description: string
  /** Arguments of the launcher, unescaped: `supervise --group batch --config /srv/byre.config.js`. */
  readonly command: readonly string[]
  /** Arguments of byre-stopped: the herd, or NO_HERD, and the base name of its file. */
  readonly stoppedArguments: readonly [herd: string, label: string]
  readonly install: Installation
  readonly grants: Grants
  readonly conflicts: readonly string[]
  /** Workers of a group's unit; a swap compares them with the config. */
  readonly workers?: readonly string[]
  readonly after: readonly string[]
  readonly restart: 'always' | 'on-failure' | 'no'
  readonly startMs: number
  readonly stopMs: number
  readonly watchdogMs: number
  readonly memoryHighBytes?: number
  readonly memoryMaxBytes?: number
  /** Some worker runs in a separate process. */
  readonly hasProcessWorkers: boolean
  /** One of them has a memoryMax, which byre enforces with a cgroup below that of the unit. */
  readonly limitsProcessMemory: boolean
  /** Fields added to every journal entry of the unit. */
  readonly logFields: Readonly<Record<string, string>>
  /** Paths that the unit must be able to read, and that must not be hidden. */
  readonly readPaths: readonly string[]
}

/** Paths and user on the machine for which the unit is made. */
export interface Installation {
  /** The folder with byre, byre-notify.pl and byre-stopped. */
  readonly unitsFolder: string
  /** Path of the launcher. @default `<unitsFolder>/byre` */
  readonly launcher?: string
  /** The folder that contains node. */
  readonly nodeFolder: string
  readonly user: string
  /** WorkingDirectory=: the folder of the config. */
  readonly folder: string
}

/** The header of every file, so that `systemctl cat` shows what made it. */
export const HEADER = '# Made by `byre units`'

/** systemd ignores keys that begin with X-. */
export const WORKERS_KEY = 'X-ByreWorkers'

/** Number of failures after which systemd stops restarting the unit; byre has separate limits for workers. */
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
        // A second safeguard: `byre swap` masks the side that is not in use.
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
          `-${[`${install.unitsFolder}/byre-stopped`, ...unit.stoppedArguments].map(argument).join(' ')}`,
        ],
        ['Environment', unit.stoppedArguments[0] === NO_HERD ? `BYRE_STOPPED=${NO_HERD}` : undefined],
        ['User', install.user],
        ['WorkingDirectory', specifiers(install.folder)],
        ['Environment', pathVariable(install.nodeFolder)],
        ['RuntimeDirectory', 'byre'],
        ['RuntimeDirectoryMode', '0700'],
        // All units of byre share this folder: a unit that stops must not remove the sockets of the others.
        ['RuntimeDirectoryPreserve', 'yes'],
        ['StateDirectory', 'byre'],
        ['StateDirectoryMode', '0700'],
        ['Restart', unit.restart],
        ['RestartSec', '1s'],
        // An invalid config: a restart would fail again.
        ['RestartPreventExitStatus', '78'],
        ['WatchdogSec', seconds(unit.watchdogMs)],
        ['TimeoutStartSec', seconds(unit.startMs)],
        ['TimeoutStopSec', seconds(unit.stopMs)],
        // byre stops its processes in order; processes left after the timeout are killed.
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
        // If the kernel kills a worker's process, byre restarts that worker and its siblings keep running.
        ['OOMPolicy', unit.hasProcessWorkers ? 'continue' : undefined],
        ...hardening(unit),
      ],
    ],
    ['Install', [['WantedBy', 'multi-user.target']]],
  ])
}

type Directive = readonly [name: string, value: string | number | undefined]

function hardening({ grants, install, readPaths, limitsProcessMemory }: HostingUnit): Directive[] {
  const paths = [
    install.folder,
    install.unitsFolder,
    install.nodeFolder,
    ...readPaths,
    ...grants.paths.map(({ value }) => value),
  ]
  const includesPathBelow = (...roots: string[]): boolean =>
    paths.some((path) => roots.some((root) => path === root || path.startsWith(`${root}/`)))
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
    ['ProtectHome', includesPathBelow('/home', '/root', '/run/user') ? 'read-only' : 'yes'],
    ['PrivateTmp', includesPathBelow('/tmp', '/var/tmp') ? 'no' : 'yes'],
    ['PrivateDevices', 'yes'],
    ['DevicePolicy', 'closed'],
    // A group or capability of the host has no effect inside a private user namespace.
    ['PrivateUsers', capabilities === '' && grants.groups.length === 0 ? 'yes' : undefined],
    ['ProtectClock', 'yes'],
    // Delegate= and ProtectControlGroups= exclude each other.
    ['ProtectControlGroups', limitsProcessMemory ? undefined : 'yes'],
    ['Delegate', limitsProcessMemory ? 'memory' : undefined],
    // Root may write to any cgroup, so byre cannot detect by permission that this one is delegated.
    ['Environment', limitsProcessMemory && install.user === 'root' ? 'BYRE_CGROUP=own' : undefined],
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
    // MemoryDenyWriteExecute= is not set: V8 executes memory it has written.
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
    // AF_NETLINK: name resolution reads the addresses of the host through it.
    ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6 AF_NETLINK'],
    ['SocketBindDeny', network === 'outbound' ? 'any' : undefined],
  ]
}

const DEFAULT_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin']

/** systemd's own PATH, preceded by node's folder if the PATH does not contain it. */
function pathVariable(nodeFolder: string): string | undefined {
  if (DEFAULT_PATH.includes(nodeFolder)) return undefined
  return word(`PATH=${[nodeFolder, ...DEFAULT_PATH].join(':')}`)
}

/** The text of sections with their directives. A directive without a value (undefined or '') is omitted; `""` is the
 *  empty assignment. Throws BYRE_UNITS_TEXT for a value that systemd would change when reading it. */
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

/** A line break would start a new directive, a trailing backslash would continue the line, and systemd strips
 *  surrounding blanks. */
function checkLine(key: string, value: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are the point of the check
  if (!/[\u0000-\u001f\u007f]|^\s|[\s\\]$/.test(value)) return value
  throw new ByreError(
    'BYRE_UNITS_TEXT',
    `Cannot make units: the value of ${key}= must be one line without control characters, leading or trailing blanks or a trailing backslash, got ${JSON.stringify(value)}. Rename that path.`,
  )
}

/** One word of a list: quoted if necessary, with `%` escaped. */
function word(text: string): string {
  return quote(specifiers(text))
}

/** One word of a command line, where `$` is escaped as well. */
export function argument(text: string): string {
  return quote(specifiers(text).replaceAll('$', '$$$$'))
}

function quote(escaped: string): string {
  return /^[\w@%+=:,./$-]+$/.test(escaped) ? escaped : `"${escaped.replace(/["\\]/g, String.raw`\$&`)}"`
}

/** The herd argument of a template unit, which does not know its herd; no herd can have this name. */
export const NO_HERD = '-'

/** Placeholder for the instance of a template unit, the only specifier that is not escaped. */
export const INSTANCE = '\u0000i'

function specifiers(text: string): string {
  return text.replaceAll('%', '%%').replaceAll(INSTANCE, '%i')
}

/** A systemd time span: whole seconds, rounded up; short times in ms. */
function seconds(ms: number): string {
  return ms < 10_000 && ms % 1000 !== 0 ? `${Math.ceil(ms)}ms` : `${Math.ceil(ms / 1000)}s`
}
