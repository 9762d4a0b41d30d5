// Checks the rules that concern several workers: names, references between workers, cycles and groups.

import { isRecord } from '../base/check.ts'
import { parseBytes } from '../base/bytes.ts'
import { didYouMean } from '../base/suggest.ts'
import { cycles } from '../graph/cycles.ts'
import { digraph } from '../graph/digraph.ts'
import { checkWorker } from './check-workers.ts'
import { CAPABILITIES, DEFAULTS, MAX_WORKERS } from './defaults.ts'
import { reasonGroupName, reasonName } from './fields.ts'
import { type Path, type Problems, show } from './problems.ts'
import { type RawRecord, type RawWorker, asRecord, asText, asTexts, rawWorkers } from './raw.ts'

/** Maximum number of suggestions of a kind in one config, since each suggestion compares all names. */
const MAX_SUGGESTIONS = 20

/** Adds all problems that concern more than one value. `folder` is the absolute path of the config file's folder. */
export function checkRules(config: RawRecord, folder: string, problems: Problems): void {
  checkCount(config, problems)
  checkEnvNames(asRecord(config['defaults'])['env'], ['defaults', 'env'], problems)
  checkControl(config, problems)
  const workers = rawWorkers(config)
  checkGroups(config, workers, problems)
  const embedded = (config['bus'] ?? DEFAULTS.bus) === 'embedded'
  const context = { problems, folder, embedded, kinds: new Map() }
  for (const worker of workers) {
    const reason = reasonName(worker.name)
    if (reason !== undefined) problems.add(['workers', worker.name], `the name ${reason}`)
    checkEnvNames(worker.own['env'], ['workers', worker.name, 'env'], problems)
    checkWorker(worker, context)
  }
  checkReferences(workers, problems)
  checkCapabilities(workers, problems)
}

function checkCount(config: RawRecord, problems: Problems): void {
  if (!isRecord(config['workers'])) return
  const count = Object.keys(config['workers']).length
  if (count === 0) problems.add(['workers'], 'must have at least one worker, got none')
  if (count > MAX_WORKERS) problems.add(['workers'], `must have at most ${MAX_WORKERS} workers, got ${count}`)
}

/** `groups`: each name is the group of some worker, and memoryHigh is at most memoryMax. */
function checkGroups(config: RawRecord, workers: readonly RawWorker[], problems: Problems): void {
  const used = new Set(workers.map((worker) => asText(worker.find('group').value) ?? ''))
  let suggestions = 0
  for (const [name, entry] of Object.entries(asRecord(config['groups']))) {
    const reason = reasonGroupName(name)
    if (workers.length > 0 && !used.has(name)) {
      const near = ++suggestions <= MAX_SUGGESTIONS ? didYouMean(name, used) : ''
      const remedy = near === '' ? ". Set 'group' on a worker, or remove the entry" : near
      problems.add(['groups', name], `no worker is in group ${show(name)}${remedy}`)
    }
    if (reason !== undefined) problems.add(['groups', name], `the name ${reason}`)
    const group = asRecord(entry)
    const high = parseBytes(asText(group['memoryHigh']) ?? '')
    const max = parseBytes(asText(group['memoryMax']) ?? '')
    if (high !== undefined && max !== undefined && high > max) {
      problems.add(
        ['groups', name, 'memoryHigh'],
        `must not be larger than memoryMax ${show(group['memoryMax'])}, got ${show(group['memoryHigh'])}`,
      )
    }
  }
}

function checkEnvNames(env: RawRecord[string] | undefined, path: Path, problems: Problems): void {
  for (const name of Object.keys(asRecord(env))) {
    if (!/^[^=\0]{1,1024}$/.test(name))
      problems.add([...path, name], "the name must have 1 to 1024 characters and no '='")
  }
}

function checkControl(config: RawRecord, problems: Problems): void {
  const control = asRecord(config['control'])
  if (control['secret'] !== undefined && control['overRedis'] !== undefined) {
    problems.add(
      ['control', 'overRedis'],
      "'unsigned' conflicts with control.secret, which signs messages. Remove one of the two",
    )
  }
}

/** `after` and `requires`: they name known workers and form no cycle. */
function checkReferences(workers: readonly RawWorker[], problems: Problems): void {
  const indexOf = new Map(workers.map((worker, index) => [worker.name, index]))
  const edges: [number, number][] = []
  let suggestions = 0
  workers.forEach((worker, from) => {
    for (const key of ['after', 'requires']) {
      for (const [name, position] of asTexts(worker.own[key])) {
        const to = indexOf.get(name)
        if (to !== undefined) edges.push([from, to])
        else {
          const near = ++suggestions <= MAX_SUGGESTIONS ? didYouMean(name, indexOf.keys()) : ''
          problems.add(['workers', worker.name, key, position], `no worker is named ${show(name)}${near}`)
        }
      }
    }
  })
  for (const cycle of cycles(digraph(workers.length, edges)))
    addCycle(
      cycle.map((i) => workers[i]!),
      problems,
    )
}

/** `needs.capabilities`: each is a capability of Linux. */
function checkCapabilities(workers: readonly RawWorker[], problems: Problems): void {
  const known = new Set(CAPABILITIES)
  let suggestions = 0
  for (const { name, own } of workers) {
    for (const [text, position] of asTexts(asRecord(own['needs'])['capabilities'])) {
      if (known.has(text)) continue
      const near = ++suggestions <= MAX_SUGGESTIONS ? didYouMean(text, known) : ''
      problems.add(
        ['workers', name, 'needs', 'capabilities', position],
        `must be a capability such as 'CAP_NET_BIND_SERVICE', got ${show(text)}${near}`,
      )
    }
  }
}

function addCycle(cycle: readonly RawWorker[], problems: Problems): void {
  const [first] = cycle
  const next = cycle[1 % cycle.length]!
  const key = asTexts(first!.own['after']).some(([name]) => name === next.name) ? 'after' : 'requires'
  const path = ['workers', first!.name, key]
  if (cycle.length === 1) {
    problems.add(path, 'a worker cannot depend on itself')
    return
  }
  const names =
    cycle.length <= 12
      ? cycle.map((w) => w.name)
      : [...cycle.slice(0, 10).map((w) => w.name), '...', cycle.at(-1)!.name]
  problems.add(
    path,
    `after and requires form a cycle: ${[...names, first!.name].join(' -> ')}. Remove one of the ${cycle.length} links`,
  )
}
