// Checks the rules that concern several values of one worker: source, placement, activation, delays and files.

import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { parseDurationMs } from '../base/durations.ts'
import { suggest } from '../base/suggest.ts'
import { type Path, type Problems, show } from './problems.ts'
import { type RawWorker, asRecord, asText } from './raw.ts'

export interface CheckContext {
  readonly problems: Problems
  /** Absolute path of the config file's folder. */
  readonly folder: string
  /** True when the herd uses the embedded bus. */
  readonly embedded: boolean
  /** Cache of path kinds, since workers may share a module. */
  readonly kinds: Map<string, PathKind>
}

export type PathKind = 'file' | 'folder' | 'other' | 'missing' | 'unreadable'

export function checkWorker(worker: RawWorker, context: CheckContext): void {
  checkSource(worker, context)
  checkPlacement(worker, context.problems)
  checkActivation(worker, context)
  checkBackoff(worker, context.problems)
  if (context.embedded && worker.own['lease'] !== undefined && worker.own['lease'] !== false) {
    context.problems.add(
      pathOf(worker, 'lease'),
      "requires a Redis bus, got bus 'embedded'. Set 'bus', or remove the lease",
    )
  }
}

function checkSource(worker: RawWorker, context: CheckContext): void {
  const { own } = worker
  const [module, script] = [own['module'] !== undefined, own['script'] !== undefined]
  if (module === script) {
    const got = module ? 'both' : 'neither'
    context.problems.add(
      ['workers', worker.name],
      `must have exactly one of 'module' and 'script', got ${got}`,
    )
  }
  for (const key of ['module', 'script']) {
    const path = asText(own[key])
    if (path !== undefined) checkFile(path, pathOf(worker, key), context)
  }
  const cwd = asText(own['cwd'])
  if (cwd !== undefined) checkFolder(cwd, pathOf(worker, 'cwd'), context)
  if (module || !script) return
  if (own['config'] !== undefined) {
    context.problems.add(
      pathOf(worker, 'config'),
      "a script has no ctx.config. Use 'env' or 'args', or a 'module'",
    )
  }
  if (own['ready'] === 'call') {
    context.problems.add(
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
      "a script cannot have placement 'shared', since it exports no run(). Set placement: 'thread' or 'process'",
    )
  }
  if (own['args'] !== undefined) {
    if (own['script'] === undefined)
      problems.add(pathOf(worker, 'args'), "only a 'script' accepts arguments. Use 'config'")
    else if (placement.value !== 'process')
      problems.add(pathOf(worker, 'args'), needsProcess(placement.value))
  }
  for (const key of ['cwd', 'lean', 'inside'])
    if (own[key] !== undefined && placement.value !== 'process')
      problems.add(pathOf(worker, key), needsProcess(placement.value))
  checkTimeZone(worker, placement.value, problems)
  if (own['inside'] !== undefined && own['script'] === undefined)
    problems.add(
      pathOf(worker, 'inside'),
      "applies to a 'script' only: byre's code is always loaded into the process of a module. Remove it",
    )
  if (own['sleepAfter'] !== undefined && placement.value === 'shared') {
    problems.add(
      pathOf(worker, 'sleepAfter'),
      "has no effect with placement 'shared': memory is freed only when a thread or process ends. Set placement: 'thread' or 'process', or remove sleepAfter",
    )
  }
}

/** A process has one time zone: its threads and the workers of its loop cannot have another. */
function checkTimeZone(worker: RawWorker, placement: unknown, problems: Problems): void {
  const { value, path } = worker.find('env.TZ')
  const zone = asText(value)
  if (zone === undefined || placement === 'process' || zone === process.env['TZ']) return
  problems.add(
    path,
    `has no effect with placement ${show(placement)}: a process has one time zone. Set placement: 'process', or TZ=${zone} for the supervisor`,
  )
}

function needsProcess(placement: unknown): string {
  return `requires placement 'process', got ${show(placement)}`
}

function checkActivation(worker: RawWorker, context: CheckContext): void {
  const { value, path } = worker.find('activation')
  const activation = asRecord(value)
  if (value === undefined || typeof value !== 'object' || Array.isArray(value)) return
  const add = (key: string, message: string): void => context.problems.add([...path, key], message)
  const some = ['topics', 'streams'].some(
    (key) => Array.isArray(activation[key]) && activation[key].length > 0,
  )
  if (!some && activation['every'] === undefined && activation['cron'] === undefined) {
    context.problems.add(
      path,
      "must have at least one of topics, streams, every and cron, which wake the worker. Add one, or use 'eager'",
    )
  }
  if (activation['timezone'] !== undefined && activation['cron'] === undefined) {
    add('timezone', "is allowed only with 'cron'. Remove it, or add 'cron'")
  }
  if (context.embedded && activation['streams'] !== undefined) {
    add('streams', "requires a Redis bus, got bus 'embedded'. Set 'bus', or use 'topics'")
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
      `backoff.${key} must not be longer than backoff.max ${show(max.value)}, got ${show(least.value)}`,
    )
  }
}

function checkFile(text: string, path: Path, context: CheckContext): void {
  if (/^[a-z][a-z0-9+-]*:\/\//i.test(text)) {
    context.problems.add(path, `must be a path relative to the config's folder, got a URL ${show(text)}`)
    return
  }
  const absolute = resolve(context.folder, text)
  const kind = kindOfPath(absolute, context)
  if (kind === 'file') return
  const near = kind === 'missing' ? nearFile(absolute, context) : undefined
  const hint =
    near === undefined
      ? ''
      : `; did you mean ${show(text.slice(0, -basename(text).length) + near, MAX_PATH_SHOWN)}?`
  context.problems.add(path, `${KIND_REASONS[kind]} ${show(absolute, MAX_PATH_SHOWN)}${hint}`)
}

function checkFolder(text: string, path: Path, context: CheckContext): void {
  const absolute = resolve(context.folder, text)
  const kind = kindOfPath(absolute, context)
  if (kind !== 'folder')
    context.problems.add(
      path,
      `${kind === 'missing' ? 'no such folder' : 'is not a folder'}: ${show(absolute, MAX_PATH_SHOWN)}`,
    )
}

/** Long enough to show almost any path in full, since a truncated path is of little use. */
const MAX_PATH_SHOWN = 1024

const KIND_REASONS = {
  missing: 'no such file:',
  unreadable: 'cannot be accessed (check its permissions):',
  folder: 'is a folder, not a file:',
  other: 'is not a regular file:',
} as const

function kindOfPath(path: string, context: CheckContext): PathKind {
  const known = context.kinds.get(path)
  if (known !== undefined) return known
  const kind = readKind(path)
  context.kinds.set(path, kind)
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

/** Suggests a file of the same folder with a similar name. Only for the first problems, since it reads the folder. */
function nearFile(path: string, context: CheckContext): string | undefined {
  if (context.problems.count > 20) return undefined
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
