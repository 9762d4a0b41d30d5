// Reads the tree of a run while it lives. The cgroup is read at every tick (some 50 us); a reading of every process costs
// 1-2 ms each, so it is paid from an allowance: sampling may use SHARE of one core, whatever the number of processes.

import { readFileSync } from 'node:fs'
import type { ProcStat } from '../procfs/stat.ts'
import { readStat } from '../procfs/stat.ts'
import { controllerPath, readCgroup, unifiedPath } from '../procfs/cgroup.ts'
import { PROC_ROOT, listProcNumbers } from '../procfs/read.ts'
import { readSmapsRollup } from '../procfs/smaps-rollup.ts'
import type { MemoryCgroup } from './memory-cgroup.ts'
import type { ProcessIdentity } from './process-tree.ts'
import { selectTree } from './process-tree.ts'
import type { Escaped, PeakSplit, SamplingFacts } from './result.ts'
import type { SampledProcess, SampleSeries, TreeSample } from './series.ts'
import { highestSplit } from './series.ts'
import type { StageRule } from './stages.ts'
import { tagStages } from './stages.ts'
import { TORN_RATIO, uncertainBytes } from './torn.ts'

export interface SamplerOptions {
  /** Not a member itself; everything below it is. */
  readonly launcherPid: number
  /** Also a member, with its session: for launchers that adopt no orphans. */
  readonly commandPid: number
  readonly cgroup: MemoryCgroup | undefined
  readonly rules: readonly StageRule[]
  /** Between two readings while the allowance lasts, ms. */
  readonly intervalMs: number
  readonly ticksPerSecond: number
  readonly series: SampleSeries
  /** The stage the command announced last. */
  readonly announced: () => string | undefined
  readonly onSample?: (sample: TreeSample) => void
  readonly root?: string
}

export interface SamplerResult {
  readonly split?: PeakSplit
  readonly highestAnonBytes?: number
  readonly facts: SamplingFacts
  readonly escaped: readonly Escaped[]
}

/** Share of one core that sampling may use: with the first allowance at most 2 % of any run longer than 13 s. */
const SHARE = 0.018
/** So that a run of a second is seen several times, ms of CPU. */
const FIRST_ALLOWANCE_MS = 25
const TICK_MS = 25
/** Pids of strangers are not read again for this long; after that a pid may have been used again. */
const STRANGERS_MS = 5000
const COMMAND_LENGTH = 200
const MOST_ESCAPED = 20
/** A reading is given up for a later one when so much of it was torn within this time; after three in a row it is kept as
 *  it is, so that a tree that never rests is read as well. */
const LOOK_AGAIN_MS = 25
const MOST_GIVEN_UP = 3

/** Starts reading at once; `stop` reads no more. */
export function startSampler(options: SamplerOptions): Sampler {
  return new Sampler(options)
}

export class Sampler {
  readonly #o: SamplerOptions
  readonly #root: string
  readonly #startedMs = performance.now()
  #timer: NodeJS.Timeout | undefined
  #known = new Map<number, ProcessIdentity>()
  #strangers = new Set<number>()
  #strangersSinceMs = 0
  #spentMs = 0
  #lastReadingMs = Number.NEGATIVE_INFINITY
  #highestReadBytes = 0
  #split: PeakSplit | undefined
  #highestAnon: number | undefined
  #samples = 0
  #readings = 0
  #unreadable = 0
  #most = 0
  #givenUp = 0
  #givenUpInARow = 0
  readonly #escaped = new Map<number, Escaped>()

  constructor(options: SamplerOptions) {
    this.#o = options
    this.#root = options.root ?? PROC_ROOT
    this.#tick()
  }

  /** The living members now, the command's own process among them. Also after `stop`. */
  members(): ProcStat[] {
    const table = this.#table(performance.now())
    const session = this.#o.commandPid
    const found = selectTree(table, this.#o.launcherPid, { known: this.#known.values(), session })
    this.#known = new Map(found.map((p) => [p.pid, p]))
    return found.filter((p) => p.pid !== this.#o.launcherPid && p.state !== 'Z' && p.state !== 'X')
  }

  stop(): SamplerResult {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const wallMs = performance.now() - this.#startedMs
    return {
      ...(this.#split === undefined ? {} : { split: this.#split }),
      ...(this.#highestAnon === undefined ? {} : { highestAnonBytes: this.#highestAnon }),
      facts: {
        samples: this.#samples,
        readings: this.#readings,
        cpuMs: Math.round(this.#spentMs),
        cpuRatio: Number((this.#spentMs / Math.max(1, wallMs)).toFixed(4)),
        mostProcesses: this.#most,
        unreadable: this.#unreadable,
        givenUp: this.#givenUp,
      },
      escaped: [...this.#escaped.values()],
    }
  }

  #tick(): void {
    const begun = process.cpuUsage()
    const atMs = performance.now() - this.#startedMs
    const current = this.#readCgroup(atMs)
    if (this.#isDue(atMs, current)) this.#readTree(atMs, current)
    const used = process.cpuUsage(begun)
    this.#spentMs += (used.user + used.system) / 1000
    this.#timer = setTimeout(() => this.#tick(), TICK_MS)
  }

  #readCgroup(atMs: number): number | undefined {
    const currentBytes = this.#o.cgroup?.currentBytes()
    if (currentBytes === undefined) return undefined
    this.#readings++
    if (this.#split !== undefined && currentBytes <= this.#split.currentBytes) return currentBytes
    const split = this.#o.cgroup!.split()
    if (split === undefined) return currentBytes
    this.#split = highestSplit(this.#split, { atMs: Math.round(atMs), currentBytes, ...split })
    this.#highestAnon = Math.max(this.#highestAnon ?? 0, split.anonBytes)
    return currentBytes
  }

  /** A new height may be read a little ahead of the allowance: that is the moment people ask for. */
  #isDue(atMs: number, currentBytes: number | undefined): boolean {
    const allowance = FIRST_ALLOWANCE_MS + SHARE * atMs - this.#spentMs
    const isNewHeight = currentBytes !== undefined && currentBytes > this.#highestReadBytes * 1.05
    const interval = isNewHeight ? this.#o.intervalMs / 3 : this.#o.intervalMs
    return atMs - this.#lastReadingMs >= interval && allowance > (isNewHeight ? -10 : 0)
  }

  #readTree(atMs: number, currentBytes: number | undefined): void {
    const readBeforeMs = this.#lastReadingMs
    this.#lastReadingMs = atMs
    const members = this.members()
    const commands = members.map((p) => ({ pid: p.pid, ppid: p.ppid, command: this.#commandOf(p) }))
    const stages = tagStages(commands, this.#o.rules, this.#o.announced())
    const processes: SampledProcess[] = []
    let lookedMs = performance.now()
    for (const [i, stat] of members.entries()) {
      if (performance.now() - lookedMs > LOOK_AGAIN_MS) {
        if (this.#givesUp(members, processes)) {
          // It is still due: again as soon as the allowance lets it.
          this.#lastReadingMs = readBeforeMs
          return
        }
        lookedMs = performance.now()
      }
      const rollup = readSmapsRollup(stat.pid, this.#root)
      if (!rollup.ok) {
        if (rollup.reason !== 'gone') this.#unreadable++
        continue
      }
      const { pssBytes, ussBytes, rssBytes, anonBytes } = rollup.value
      const ticks = stat.userTicks + stat.systemTicks
      processes.push({
        pid: stat.pid,
        name: stat.comm,
        command: commands[i]!.command,
        stage: stages.get(stat.pid)!,
        pssBytes,
        ussBytes,
        rssBytes,
        anonBytes,
        cpuMs: (ticks * 1000) / this.#o.ticksPerSecond,
        startTicks: stat.startTicks,
      })
    }
    this.#givenUpInARow = 0
    const uncertain = this.#uncertainBytes(members, processes)
    this.#findEscaped(members)
    if (processes.length === 0) return
    this.#samples++
    this.#most = Math.max(this.#most, processes.length)
    this.#highestReadBytes = Math.max(this.#highestReadBytes, currentBytes ?? 0)
    const sample = {
      atMs,
      processes,
      uncertainBytes: uncertain,
      ...(currentBytes === undefined ? {} : { currentBytes }),
    }
    this.#o.series.add(sample)
    this.#o.onSample?.(sample)
  }

  /** So many came or went already that the sum would be of no moment, and the rest may be long: a later reading is better. */
  #givesUp(members: readonly ProcStat[], processes: readonly SampledProcess[]): boolean {
    if (this.#givenUpInARow >= MOST_GIVEN_UP) return false
    const pss = processes.reduce((total, one) => total + one.pssBytes, 0)
    if (this.#uncertainBytes(members, processes) <= TORN_RATIO * pss) return false
    this.#givenUp++
    this.#givenUpInARow++
    return true
  }

  #uncertainBytes(members: readonly ProcStat[], processes: readonly SampledProcess[]): number {
    const read = processes.map((one) => ({ ...one, sharedBytes: one.pssBytes - one.ussBytes }))
    return uncertainBytes(members, this.members(), read, (pid) => {
      const rollup = readSmapsRollup(pid, this.#root)
      return rollup.ok ? rollup.value.pssBytes - rollup.value.ussBytes : undefined
    })
  }

  #findEscaped(members: readonly ProcStat[]): void {
    const { cgroup } = this.#o
    if (cgroup === undefined || this.#escaped.size >= MOST_ESCAPED) return
    const inside = new Set(cgroup.members())
    for (const { pid, comm } of members) {
      if (inside.has(pid) || this.#escaped.has(pid)) continue
      const lines = readCgroup(pid, this.#root)
      if (!lines.ok) continue
      const path = controllerPath(lines.value, 'memory') ?? unifiedPath(lines.value) ?? ''
      // Below it is inside as well; and between the two reads it may have joined.
      if (!path.includes(cgroup.path)) this.#escaped.set(pid, { pid, name: comm, cgroup: path })
    }
  }

  #commandOf({ pid, comm }: ProcStat): string {
    try {
      const text = readFileSync(`${this.#root}/${pid}/cmdline`, 'utf8')
      return text.slice(0, 4096).replaceAll('\0', ' ').trim().slice(0, COMMAND_LENGTH) || comm
    } catch {
      return comm // ended
    }
  }

  /** Members and whoever was not known to be a stranger: most of a machine's processes are read once in a while. */
  #table(nowMs: number): Map<number, ProcStat> {
    if (nowMs - this.#strangersSinceMs > STRANGERS_MS) {
      this.#strangers = new Set()
      this.#strangersSinceMs = nowMs
    }
    const table = new Map<number, ProcStat>()
    const pids = listProcNumbers(undefined, '', this.#root)
    for (const pid of pids.ok ? pids.value : []) {
      if (this.#strangers.has(pid)) continue
      const stat = readStat(pid, this.#root)
      if (stat.ok) table.set(pid, stat.value)
    }
    const { launcherPid, commandPid } = this.#o
    const known = this.#known.values()
    const members = new Set(selectTree(table, launcherPid, { known, session: commandPid }).map((p) => p.pid))
    for (const pid of table.keys()) if (!members.has(pid)) this.#strangers.add(pid)
    return table
  }
}
