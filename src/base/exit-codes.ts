// The one table of exit codes (README "Exit codes"); every process.exitCode of byre comes from here.

export const EXIT = {
  /** All well; also a graceful stop in which some workers were unstopped (they are named). */
  ok: 0,
  /** The thing asked for failed. */
  failed: 1,
  /** The command line was wrong. */
  usage: 2,
  /** A budget, ceiling or deny rule was broken. */
  budget: 3,
  /** The control target is unknown or unreachable. */
  unreachable: 4,
  /** An error of byre's own code; never charged to a worker. */
  internal: 70,
  /** The config is invalid; units carry RestartPreventExitStatus=78. */
  config: 78,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** 128+n, for the second signal only. `signal` is the signal's number. */
export function exitCodeOfSignal(signal: number): number {
  return 128 + signal
}
