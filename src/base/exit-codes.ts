// The table of exit codes (README, "Exit codes"). Every exit code of byre comes from here.

export const EXIT = {
  /** Success. Also a graceful stop in which some workers did not stop; those are reported by name. */
  ok: 0,
  /** The requested operation failed. */
  failed: 1,
  /** The command line is invalid. */
  usage: 2,
  /** A budget, ceiling or deny rule was exceeded. */
  budget: 3,
  /** The control target is unknown or unreachable. */
  unreachable: 4,
  /** A bug in byre itself; never charged to a worker. */
  internal: 70,
  /** The config is invalid. Units set RestartPreventExitStatus=78. */
  config: 78,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Returns 128+n, where `signal` is the number of the signal. For the second signal only. */
export function exitCodeOfSignal(signal: number): number {
  return 128 + signal
}
