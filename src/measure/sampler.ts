// Samples the process tree of a run. Reads the cgroup at every tick (about 50 us). Reading the processes takes 1-2 ms each,
// so a CPU budget bounds how often that happens: sampling uses at most SHARE of one core for any number of processes.

import { readFileSync } from 'node:fs'
import type { ProcessIdentity, ProcStat } from '../procfs/stat.ts'
import { readStat } from '../procfs/stat.ts'
import { controllerPath, readCgroup, unifiedPath } from '../procfs/cgroup.ts'
import { PROC_ROOT, listProcNumbers } from '../procfs/read.ts'
import { readSmapsRollup } from '../procfs/smaps-rollup.ts'
import type { MemoryCgroup } from './memory-cgroup.ts'
import { selectTree } from './process-tree.ts'
import type { Escaped, PeakSplit, SamplingFacts } from './result.ts'
import type { SampledProcess, SampleSeries, TreeSample } from './sample-series.ts'
import { highestSplit } from './sample-series.ts'
import type { StageRule } from './stages.ts'
import { tagStages } from './stages.ts'
import { TORN_RATIO, uncertainBytes } from './torn-reads.ts'

export interface SamplerOptions {
  /** Root of the tree; not a member itself. */
  readonly launcherPid: number
  /** A member together with its session, for launchers that do not adopt orphans. */
  readonly commandPid: number
  readonly cgroup: MemoryCgroup | undefined
  readonly rules: readonly StageRule[]
  /** Time between two readings of the tree while the budget lasts, ms. */
  readonly intervalMs: number
  readonly ticksPerSecond: number
  readonly series: SampleSeries
  /** The stage that the command announced last. */
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

/** Share of one core that sampling may use: with the initial budget at most 2 % of any run longer than 13 s. */
const SHARE = 0.018
/** Initial budget, ms of CPU time: enough for several samples of a run of one second. */
const INITIAL_BUDGET_MS = 25
const TICK_MS = 25
/** Processes outside the tree are not read again for this long; later their pids may have been reused. */
const OUTSIDERS_MS = 5000
const MAX_COMMAND_LENGTH = 200
const MAX_ESCAPED = 20
/** While the tree is read, its members are checked this often. A reading with too large an error is discarded, but at most
 *  three in a row, so that a tree that changes all the time is sampled too. */
const RECHECK_MS = 25
const MAX_DISCARDED_IN_A_ROW = 3

/** Samples from its construction until `stop`. */
export class Sampler {
  readonly #o: SamplerOptions
  readonly #root: string
  readonly #startedMs = performance.now()
  #timer: NodeJS.Timeout | undefined
  #known = new Map<number, ProcessIdentity>()
  #outsiders = new Set<number>()
  #outsidersSinceMs = 0
  #spentMs = 0
  #lastReadingMs = Number.NEGATIVE_INFINITY
  #highestReadBytes = 0
  #split: PeakSplit | undefined
  #highestAnon: number | undefined
  #samples = 0
  #readings = 0
  #unreadable = 0
  #most = 0
  #discarded = 0
  #discardedInARow = 0
  readonly #escaped = new Map<number, Escaped>()

  constructor(options: SamplerOptions) {
    this.#o = options
    this.#root = options.root ?? PROC_ROOT
    this.#tick()
  }

  /** The members that are alive now, including the command. Can be called after `stop`. */
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
        givenUp: this.#discarded,
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

  /** A new maximum of the cgroup may overdraw the budget slightly: it is the moment of interest. */
  #isDue(atMs: number, currentBytes: number | undefined): boolean {
    const budgetMs = INITIAL_BUDGET_MS + SHARE * atMs - this.#spentMs
    const isNewMaximum = currentBytes !== undefined && currentBytes > this.#highestReadBytes * 1.05
    const interval = isNewMaximum ? this.#o.intervalMs / 3 : this.#o.intervalMs
    return atMs - this.#lastReadingMs >= interval && budgetMs > (isNewMaximum ? -10 : 0)
  }

  #readTree(atMs: number, currentBytes: number | undefined): void {
    const readBeforeMs = this.#lastReadingMs
    this.#lastReadingMs = atMs
    const members = this.members()
    const commands = members.map((p) => ({ pid: p.pid, ppid: p.ppid, command: this.#commandOf(p) }))
    const stages = tagStages(commands, this.#o.rules, this.#o.announced())
    const processes: SampledProcess[] = []
    let checkedMs = performance.now()
    for (const [i, stat] of members.entries()) {
      if (performance.now() - checkedMs > RECHECK_MS) {
        if (this.#discards(members, processes)) {
          // The reading is still due: retry as soon as the budget allows.
          this.#lastReadingMs = readBeforeMs
          return
        }
        checkedMs = performance.now()
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
    this.#discardedInARow = 0
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

  /** Returns true when so many processes have started or ended that the sum would not represent one moment. */
  #discards(members: readonly ProcStat[], processes: readonly SampledProcess[]): boolean {
    if (this.#discardedInARow >= MAX_DISCARDED_IN_A_ROW) return false
    const pss = processes.reduce((total, one) => total + one.pssBytes, 0)
    if (this.#uncertainBytes(members, processes) <= TORN_RATIO * pss) return false
    this.#discarded++
    this.#discardedInARow++
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
    if (cgroup === undefined || this.#escaped.size >= MAX_ESCAPED) return
    const inside = new Set(cgroup.members())
    for (const { pid, comm } of members) {
      if (inside.has(pid) || this.#escaped.has(pid)) continue
      const lines = readCgroup(pid, this.#root)
      if (!lines.ok) continue
      const path = controllerPath(lines.value, 'memory') ?? unifiedPath(lines.value) ?? ''
      // A cgroup below it is inside as well, and the process may have joined between the two reads.
      if (!path.includes(cgroup.path)) this.#escaped.set(pid, { pid, name: comm, cgroup: path })
    }
  }

  #commandOf({ pid, comm }: ProcStat): string {
    try {
      const text = readFileSync(`${this.#root}/${pid}/cmdline`, 'utf8')
      return text.slice(0, 4096).replaceAll('\0', ' ').trim().slice(0, MAX_COMMAND_LENGTH) || comm
    } catch {
      return comm // the process has ended
    }
  }

  /** Processes without the known outsiders, so that most processes of the machine are read only now and then. */
  #table(nowMs: number): Map<number, ProcStat> {
    if (nowMs - this.#outsidersSinceMs > OUTSIDERS_MS) {
      this.#outsiders = new Set()
      this.#outsidersSinceMs = nowMs
    }
    const table = new Map<number, ProcStat>()
    const pids = listProcNumbers(undefined, '', this.#root)
    for (const pid of pids.ok ? pids.value : []) {
      if (this.#outsiders.has(pid)) continue
      const stat = readStat(pid, this.#root)
      if (stat.ok) table.set(pid, stat.value)
    }
    const { launcherPid, commandPid } = this.#o
    const known = this.#known.values()
    const members = new Set(selectTree(table, launcherPid, { known, session: commandPid }).map((p) => p.pid))
    for (const pid of table.keys()) if (!members.has(pid)) this.#outsiders.add(pid)
    return table
  }
}
