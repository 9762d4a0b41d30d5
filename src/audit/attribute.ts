// Whose are the bytes: walks the events of a trace and gives what appeared between two of them to one owner. The truth
// is the heap after a collection; what a stretch between two collections really left is shared among its owners by what
// each allocated in it. Two overlapping top-level awaits break the bracketing and are detected.

import { EVENT } from './child/job.ts'
import type { Trace } from './trace.ts'

export interface Attribution {
  /** Bytes by URL; a wrapper of a non-ES module is named `facade:<url>`. May be negative: a module can free. */
  readonly selfBytes: ReadonlyMap<string, number>
  /** Resolving, linking and the like that belong to no module. */
  readonly loaderBytes: number
  /** All of it: last sample minus first. */
  readonly totalBytes: number
  /** Modules left while another was entered: their figures are mixed up with each other. */
  readonly overlapping: readonly string[]
}

const LOADER = ''

export function attribute(trace: Trace): Attribution {
  const { events } = trace
  const ledger = createLedger()
  const stack: string[] = []
  const overlapping = new Set<string>()
  const first = events[0]
  if (first?.settledBytes === undefined)
    return { selfBytes: new Map(), loaderBytes: 0, totalBytes: 0, overlapping: [] }

  let owner = LOADER
  let raw = first.settledBytes
  let settled = first.settledBytes
  let young = first.settledBytes
  let linking = false
  let loading = false
  let loadedSinceLink: string[] = []
  const top = (): string => stack.at(-1) ?? LOADER

  for (const event of events.slice(1)) {
    ledger.allocated(linking ? LINK : owner, Math.max(0, event.rawBytes - raw), !linking && loading)
    raw = event.rawBytes
    if (event.type === EVENT.young) {
      ledger.survived(event.settledBytes! - young)
      raw = young = event.settledBytes!
      continue
    }
    if (event.settledBytes !== undefined) {
      ledger.settle(event.settledBytes - settled, linking ? LINK : owner)
      raw = young = settled = event.settledBytes
    }
    const name = event.name ?? LOADER
    loading = false
    switch (event.type) {
      case EVENT.resolve:
      case EVENT.load:
        owner = name
        loading = true
        if (event.type === EVENT.load && trace.esModules.has(name)) loadedSinceLink.push(name)
        break
      case EVENT.enterEsm:
      case EVENT.enterCjs:
        stack.push(name)
        owner = name
        break
      case EVENT.exitEsm:
      case EVENT.exitCjs:
        if (top() !== name) for (const other of [name, top()]) if (other !== LOADER) overlapping.add(other)
        if (stack.includes(name)) stack.splice(stack.lastIndexOf(name), 1)
        owner = top()
        break
      case EVENT.link:
        linking = true
        break
      case EVENT.linkEnd:
        linking = false
        ledger.shareLinking(loadedSinceLink)
        loadedSinceLink = []
        owner = top()
        break
      default:
        owner = top()
    }
  }
  ledger.shareReturned()
  const selfBytes = new Map([...ledger.bytes].filter(([name]) => name !== LOADER && name !== LINK))
  const loaderBytes = (ledger.bytes.get(LOADER) ?? 0) + (ledger.bytes.get(LINK) ?? 0)
  return { selfBytes, loaderBytes, totalBytes: settled - first.settledBytes, overlapping: [...overlapping] }
}

const LINK = '\0link'

interface Ledger {
  readonly bytes: Map<string, number>
  allocated(owner: string, bytes: number, loading: boolean): void
  /** What outlived a collection of the young since the last collection of any kind: nearer to the truth than what was
   *  allocated, which is mostly garbage where much is compiled. */
  survived(bytes: number): void
  /** What the stretch since the last call left, after a collection. */
  settle(bytes: number, current: string): void
  /** Linking is done for all modules loaded since the last one at once: shared by the bytes their loading left. */
  shareLinking(modules: readonly string[]): void
  /** Files are read into buffers that count as the module's while it loads and are given back while the loader works:
   *  a negative balance of the loader is taken from what loading left, in proportion; the rest of it from what linking
   *  left (500 modules behind one barrel give back 850 KiB of 4.7 MiB after they are linked). */
  shareReturned(): void
}

function createLedger(): Ledger {
  const bytes = new Map<string, number>()
  const add = (owner: string, amount: number): void => void bytes.set(owner, (bytes.get(owner) ?? 0) + amount)
  const loadBytes = new Map<string, number>()
  const linkBytes = new Map<string, number>()
  let stretch = new Map<string, number>()
  let loadStretch = new Map<string, number>()
  let recent = new Map<string, number>()
  let loadRecent = new Map<string, number>()
  const note = (map: Map<string, number>, owner: string, amount: number): void =>
    void map.set(owner, (map.get(owner) ?? 0) + amount)
  return {
    bytes,
    allocated(owner, amount, loading) {
      if (amount <= 0) return
      note(recent, owner, amount)
      if (loading) note(loadRecent, owner, amount)
    },
    survived(left) {
      const sum = sumOf(recent)
      const share = sum === 0 ? 0 : Math.max(0, left) / sum
      for (const [owner, amount] of recent) note(stretch, owner, amount * share)
      for (const [owner, amount] of loadRecent) note(loadStretch, owner, amount * share)
      recent = new Map()
      loadRecent = new Map()
    },
    settle(left, current) {
      this.survived(sumOf(recent))
      const sum = sumOf(stretch)
      if (sum === 0) add(current, left)
      else {
        for (const [owner, amount] of stretch) add(owner, (left * amount) / sum)
        for (const [owner, amount] of loadStretch) note(loadBytes, owner, (left * amount) / sum)
      }
      stretch = new Map()
      loadStretch = new Map()
    },
    shareReturned() {
      for (const held of [loadBytes, linkBytes]) {
        const returned = bytes.get(LOADER) ?? 0
        const holders = [...held].filter(([owner, amount]) => owner !== LOADER && amount > 0)
        const sum = holders.reduce((total, [, amount]) => total + amount, 0)
        if (returned >= 0 || sum <= 0) continue
        const share = Math.max(-1, returned / sum)
        for (const [owner, amount] of holders) add(owner, amount * share)
        bytes.set(LOADER, returned - sum * share)
      }
    },
    shareLinking(modules) {
      const amount = bytes.get(LINK) ?? 0
      if (modules.length === 0 || amount === 0) return
      const weights = modules.map((m) => Math.max(1, bytes.get(m) ?? 1))
      const sum = weights.reduce((a, b) => a + b, 0)
      for (const [i, m] of modules.entries()) {
        add(m, (amount * weights[i]!) / sum)
        note(linkBytes, m, (amount * weights[i]!) / sum)
      }
      bytes.set(LINK, 0)
    },
  }
}

function sumOf(amounts: ReadonlyMap<string, number>): number {
  let sum = 0
  for (const amount of amounts.values()) sum += amount
  return sum
}
