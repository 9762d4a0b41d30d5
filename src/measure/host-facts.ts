// Facts of the machine that two results must share to be comparable, and its network counters.

import { cpus, hostname, release, totalmem } from 'node:os'
import { readFileSync } from 'node:fs'
import type { HostFacts } from './result.ts'

export function readHostFacts(): HostFacts {
  const all = cpus()
  return {
    host: hostname(),
    cpuModel: all[0]?.model.trim() ?? 'unknown',
    cpus: all.length,
    totalMemoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  }
}

export interface NetworkCounters {
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** Sums over every interface of this network namespace, loopback included; undefined when they cannot be read. */
export function readNetwork(path = '/proc/self/net/dev'): NetworkCounters | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
  return parseNetDev(text)
}

/** proc_pid_net(5): received bytes are the first column after the interface name, sent bytes the ninth. */
function parseNetDev(text: string): NetworkCounters | undefined {
  const totals = { receivedBytes: 0, sentBytes: 0 }
  const rows = text.split('\n').filter((line) => line.includes(':'))
  for (const row of rows) {
    const numbers = row
      .slice(row.indexOf(':') + 1)
      .trim()
      .split(/\s+/)
      .map(Number)
    if (!Number.isFinite(numbers[0]) || !Number.isFinite(numbers[8])) return undefined
    totals.receivedBytes += numbers[0]!
    totals.sentBytes += numbers[8]!
  }
  return rows.length === 0 ? undefined : totals
}
