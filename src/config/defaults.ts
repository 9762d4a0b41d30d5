// Every default and every range of the config, in the notation of the config. docs/config.md and
// schema/byre.config.schema.json repeat them, and a test compares the three.

/** The values of keys that neither the worker nor `defaults` sets. A key that is missing here has no default. */
export const DEFAULTS = {
  bus: 'embedded',
  onUnattributed: 'drain',
  admission: { queue: 1000 },
  sampler: { enabled: true, interval: '15s' },
  limits: { message: '1MiB', buffer: 1000 },
  worker: {
    group: 'default',
    activation: 'eager',
    placement: 'shared',
    restart: 'on-failure',
    backoff: { first: '0s', base: '1s', factor: 2, max: '60s', resetAfter: '10m' },
    limit: { failures: 5, within: '5m' },
    onLimit: 'quarantine',
    onStall: 'report',
    stopTimeout: '5s',
    startTimeout: '30s',
    ready: 'start',
    stall: { detect: true, after: '1s', profile: false },
    weight: 1,
    critical: false,
    lean: false,
    inside: false,
  },
  timezone: 'UTC',
  lease: { ttl: '30s' },
} as const

/** Inclusive ranges, in the notation of the config. */
export const RANGES = {
  admissionMax: [1, 10_000],
  admissionQueue: [1, 10_000],
  samplerInterval: ['100ms', '1d'],
  limitsMessage: ['1KiB', '64MiB'],
  limitsBuffer: [1, 1_000_000],
  memory: ['1MiB', '16TiB'],
  every: ['10ms', '365d'],
  sleepAfter: ['100ms', '365d'],
  backoffFirst: ['0s', '1d'],
  backoffBase: ['1ms', '1d'],
  backoffFactor: [1, 100],
  backoffMax: ['1ms', '1d'],
  resetAfter: ['1ms', '365d'],
  failures: [1, 1000],
  within: ['1ms', '365d'],
  stopTimeout: ['10ms', '1h'],
  startTimeout: ['10ms', '1h'],
  stallAfter: ['20ms', '1h'],
  weight: [0.01, 1000],
  leaseTtl: ['500ms', '1h'],
  port: [0, 65_535],
} as const

/** The maximum number of workers in a herd. */
export const MAX_WORKERS = 10_000
/** The deepest nesting of a config; the root has depth 1. */
export const MAX_DEPTH = 64
/** The maximum number of values (numbers, strings, objects, ...) in a config. A shared object counts each time it occurs. */
export const MAX_VALUES = 2_000_000
/** The most UTF-16 code units in all strings and keys together. */
export const MAX_TEXT_LENGTH: number = 32 * 1024 * 1024
/** The size limit of a config file, in bytes. */
export const MAX_FILE_BYTES: number = 8 * 1024 * 1024
/** The maximum number of entries in a list (topics, after, args, ...). */
export const MAX_LIST = 10_000
/** The shortest control.secret, in characters. A shorter key weakens HMAC-SHA-256. */
export const MIN_SECRET_LENGTH = 16
/** The capabilities of Linux in the order of linux/capability.h; the newest is from Linux 5.9. systemd ignores unknown names
 *  with a warning, and the worker would then lack a capability. */
export const CAPABILITIES: readonly string[] = `
  CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
  NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
  SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
  AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
  PERFMON BPF CHECKPOINT_RESTORE
`
  .trim()
  .split(/\s+/)
  .map((name) => `CAP_${name}`)
