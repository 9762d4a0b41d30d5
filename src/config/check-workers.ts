// The rules of one worker that need more than one of its values: source, placement, activation, delays, files.

import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { parseDurationMs } from '../base/durations.ts'
import { suggest } from '../base/suggest.ts'
import { type Path, type Problems, show } from './problems.ts'
import { type RawWorker, asRecord, asText } from './raw.ts'

export interface WorkerSetting {
  readonly problems: Problems
  /** Absolute folder of the config file. */
  readonly folder: string
  /** True when the config asks for the embedded bus. */
  readonly embedded: boolean
  /** What a path is; remembered, since workers may share a module. */
  readonly kinds: Map<string, PathKind>
}

export type PathKind = 'file' | 'folder' | 'other' | 'missing' | 'unreadable'

export function checkWorker(worker: RawWorker, setting: WorkerSetting): void {
  checkSource(worker, setting)
  checkPlacement(worker, setting.problems)
  checkActivation(worker, setting)
  checkBackoff(worker, setting.problems)
  if (setting.embedded && worker.own['lease'] !== undefined && worker.own['lease'] !== false) {
    setting.problems.add(
      pathOf(worker, 'lease'),
      "needs a Redis bus, got bus 'embedded'. Set 'bus', or remove the lease",
    )
  }
}

function checkSource(worker: RawWorker, setting: WorkerSetting): void {
  const { own } = worker
  const [module, script] = [own['module'] !== undefined, own['script'] !== undefined]
  if (module === script) {
    const got = module ? 'both' : 'neither'
    setting.problems.add(
      ['workers', worker.name],
      `must have exactly one of 'module' and 'script', got ${got}`,
    )
  }
  for (const key of ['module', 'script']) {
    const path = asText(own[key])
    if (path !== undefined) checkFile(path, pathOf(worker, key), setting)
  }
  const cwd = asText(own['cwd'])
  if (cwd !== undefined) checkFolder(cwd, pathOf(worker, 'cwd'), setting)
  if (module || !script) return
  if (own['config'] !== undefined) {
    setting.problems.add(
      pathOf(worker, 'config'),
      "a script has no ctx to read it from. Use 'env' or 'args', or a 'module'",
    )
  }
  if (own['ready'] === 'call') {
    setting.problems.add(
      pathOf(worker, 'ready'),
      "a script cannot call ctx.ready(). Use ready: 'start', or a 'module'",
    )
  }
}

function checkPlacement(worker: RawWorker, problems: Problems): void {
  const { own } = worker
  const placement = worker.find('placement')
  if (own['script'] !== undefined && own['module'] === undefined && placement.value === 'shared') {
    const path = placement.from === 'own' ? placement.path : pathOf(worker, 'script')
    problems.add(
      path,
      "a script cannot be placed in 'shared' (it has no run export to call). Set placement: 'thread' or 'process'",
    )
  }
  if (own['args'] !== undefined) {
    if (own['script'] === undefined)
      problems.add(pathOf(worker, 'args'), "only a 'script' takes arguments. Use 'config'")
    else if (placement.value !== 'process')
      problems.add(pathOf(worker, 'args'), needsProcess(placement.value))
  }
  for (const key of ['cwd', 'lean', 'inside'])
    if (own[key] !== undefined && placement.value !== 'process')
      problems.add(pathOf(worker, key), needsProcess(placement.value))
  if (own['inside'] !== undefined && own['script'] === undefined)
    problems.add(
      pathOf(worker, 'inside'),
      "only a 'script' has the choice: byre's code is in the process of a module anyway. Remove it",
    )
  if (own['sleepAfter'] !== undefined && placement.value === 'shared') {
    problems.add(
      pathOf(worker, 'sleepAfter'),
      "frees memory only where a thread or process ends, and the placement is 'shared'. Set placement: 'thread' or 'process', or remove sleepAfter",
    )
  }
}

function needsProcess(placement: unknown): string {
  return `needs placement: 'process', got ${show(placement)}`
}

function checkActivation(worker: RawWorker, setting: WorkerSetting): void {
  const { value, path } = worker.find('activation')
  const activation = asRecord(value)
  if (value === undefined || typeof value !== 'object' || Array.isArray(value)) return
  const add = (key: string, message: string): void => setting.problems.add([...path, key], message)
  const some = ['topics', 'streams'].some(
    (key) => Array.isArray(activation[key]) && activation[key].length > 0,
  )
  if (!some && activation['every'] === undefined && activation['cron'] === undefined) {
    setting.problems.add(
      path,
      "must name what wakes the worker: topics, streams, every or cron. Or write 'eager'",
    )
  }
  if (activation['timezone'] !== undefined && activation['cron'] === undefined) {
    add('timezone', "belongs to 'cron', and there is none")
  }
  if (setting.embedded && activation['streams'] !== undefined) {
    add('streams', "need a Redis bus, got bus 'embedded'. Set 'bus', or use 'topics'")
  }
}

function checkBackoff(worker: RawWorker, problems: Problems): void {
  const max = worker.find('backoff.max')
  const maxMs = parseDurationMs(asText(max.value) ?? '')
  if (maxMs === undefined) return
  for (const key of ['base', 'first']) {
    const least = worker.find(`backoff.${key}`)
    const ms = parseDurationMs(asText(least.value) ?? '')
    if (ms === undefined || ms <= maxMs) continue
    const path = least.from === 'own' || max.from !== 'own' ? least.path : max.path
    problems.add(
      path,
      `backoff.${key} must not be longer than backoff.max, got ${show(least.value)} and ${show(max.value)}`,
    )
  }
}

function checkFile(text: string, path: Path, setting: WorkerSetting): void {
  if (/^[a-z][a-z0-9+-]*:\/\//i.test(text)) {
    setting.problems.add(path, `must be a path relative to the config's folder, got a URL ${show(text)}`)
    return
  }
  const absolute = resolve(setting.folder, text)
  const kind = kindOfPath(absolute, setting)
  if (kind === 'file') return
  const near = kind === 'missing' ? nearFile(absolute, setting) : undefined
  const hint =
    near === undefined
      ? ''
      : `; did you mean ${show(text.slice(0, -basename(text).length) + near, MAX_PATH_SHOWN)}?`
  setting.problems.add(path, `${SAID[kind]} ${show(absolute, MAX_PATH_SHOWN)}${hint}`)
}

function checkFolder(text: string, path: Path, setting: WorkerSetting): void {
  const absolute = resolve(setting.folder, text)
  const kind = kindOfPath(absolute, setting)
  if (kind !== 'folder')
    setting.problems.add(
      path,
      `${kind === 'missing' ? 'no such folder' : 'is not a folder'}: ${show(absolute, MAX_PATH_SHOWN)}`,
    )
}

/** Paths are shown whole when they can be: half a path helps nobody. */
const MAX_PATH_SHOWN = 1024

const SAID = {
  missing: 'no such file:',
  unreadable: 'cannot be looked at (permissions?):',
  folder: 'is a folder, not a file:',
  other: 'is not a regular file:',
} as const

function kindOfPath(path: string, setting: WorkerSetting): PathKind {
  const known = setting.kinds.get(path)
  if (known !== undefined) return known
  const kind = readKind(path)
  setting.kinds.set(path, kind)
  return kind
}

function readKind(path: string): PathKind {
  try {
    const stat = statSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return 'missing'
    return stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : 'other'
  } catch (error) {
    const { code } = error as { code?: unknown }
    return code === 'ENOTDIR' || code === 'ENAMETOOLONG' || code === 'ENOENT' ? 'missing' : 'unreadable'
  }
}

/** The file of the same folder that was probably meant. Looked for a few times only: it reads the folder. */
function nearFile(path: string, setting: WorkerSetting): string | undefined {
  if (setting.problems.count > 20) return undefined
  try {
    const names = readdirSync(dirname(path)).slice(0, 1000)
    const wanted = basename(path)
    const stem = wanted.replace(/\.[cm]?[jt]s$/, '')
    return (
      names.find((n) => n !== wanted && n.replace(/\.[cm]?[jt]s$/, '') === stem && n !== stem) ??
      suggest(wanted, names)
    )
  } catch {
    return undefined
  }
}

function pathOf(worker: RawWorker, key: string): Path {
  return ['workers', worker.name, key]
}
