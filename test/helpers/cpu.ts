// CPU time instead of wall-clock time: how much work something is does not depend on what else the machine runs.

/** Starts now; each call returns the CPU time that this process has used since, user and system, ms. */
export function cpuClock(): () => number {
  const before = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }
}
