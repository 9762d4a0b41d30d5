// What two results must share to be compared, and the counters of the machine a run is framed by.

import { cpus, hostname, release } from 'node:os'
import { readFileSync } from 'node:fs'
import { readMeminfo } from '../procfs/meminfo.ts'
import type { HostFacts } from './result.ts'

export function readHostFacts(): HostFacts {
  const all = cpus()
  const memory = readMeminfo()
  return {
    host: hostname(),
    cpuModel: all[0]?.model.trim() ?? 'unknown',
    cpus: all.length,
    totalMemoryBytes: memory.ok ? memory.value.totalBytes : 0,
    kernel: release(),
    node: process.version,
  }
}

export interface NetworkCounters {
  readonly receivedBytes: number
  readonly sentBytes: number
}

/** Of every interface of this network namespace, loopback included; undefined where the kernel does not tell. */
export function readNetwork(path = '/proc/self/net/dev'): NetworkCounters | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
  return parseNetDev(text)
}

/** The sums of proc_pid_net(5)'s `dev`: bytes received are the first column behind the name, bytes sent the ninth. */
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
