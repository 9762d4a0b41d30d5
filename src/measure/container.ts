// `--container IMAGE`: runs the command in a container of docker or podman, whose memory cgroup needs no privileges here.
// The processes belong to the engine: byre waits for its client and reads the peak inside the container, so there is no
// split, no stage and no process list. Pure except for findEngine and addonWarning.

import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { parseInteger } from '../procfs/fields.ts'
import type { LimitFacts, PeakSource, RunResult } from './result.ts'

export interface ContainerRun {
  readonly engine: string
  readonly image: string
  /** Working folder of the command, mounted at the same path. */
  readonly folder: string
  readonly memoryBytes?: number
  /** File below `folder` to which the container writes the figures of its cgroup. */
  readonly factsPath: string
}

export interface ContainerFacts {
  readonly source: PeakSource
  readonly peakBytes: number
  readonly oomKills?: number
}

/** The image with the major version of this Node. */
export function defaultImage(version: string = process.version): string {
  return `node:${/^v(\d+)/.exec(version)?.[1] ?? 'lts'}-bookworm`
}

/** The path of docker, else of podman; undefined when neither is in `path`. */
export function findEngine(path: string | undefined): string | undefined {
  for (const name of ['docker', 'podman'])
    for (const folder of (path ?? '').split(delimiter)) {
      const file = join(folder, name)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {
        // not in this folder
      }
    }
  return undefined
}

/** The engine's command line for `command`. The command is passed as arguments of the script, never as part of its text. */
export function containerCommand(run: ContainerRun, command: readonly string[]): string[] {
  const memory = run.memoryBytes === undefined ? [] : ['--memory', `${run.memoryBytes}b`]
  return [
    run.engine,
    'run',
    '--rm',
    '--init',
    '--cgroupns=private',
    ...memory,
    '--volume',
    `${run.folder}:${run.folder}`,
    '--workdir',
    run.folder,
    run.image,
    '/bin/sh',
    '-c',
    CONTAINER_SCRIPT,
    'byre',
    run.factsPath,
    ...command,
  ]
}

const CONTAINER_SCRIPT = `facts=$1; shift
"$@"; status=$?
cg=/sys/fs/cgroup
{ if [ -e $cg/memory.peak ]; then echo "v2 $(cat $cg/memory.peak)"; cat $cg/memory.events
  elif [ -e $cg/memory/memory.max_usage_in_bytes ]; then echo "v1 $(cat $cg/memory/memory.max_usage_in_bytes)"; cat $cg/memory/memory.oom_control
  fi; } > "$facts" 2>/dev/null
exit $status`

/** Parses the facts file; undefined when it contains no peak. */
export function parseContainerFacts(text: string): ContainerFacts | undefined {
  const [first, ...rest] = text.split('\n')
  const match = /^v([12]) (\d+)$/.exec(first ?? '')
  const peakBytes = parseInteger(match?.[2] ?? '')
  if (match === null || peakBytes === undefined) return undefined
  const oom = rest.map((line) => /^oom_kill (\d+)$/.exec(line)?.[1]).find((value) => value !== undefined)
  const oomKills = parseInteger(oom ?? '')
  return {
    source: match[1] === '2' ? 'cgroup-v2' : 'cgroup-v1',
    peakBytes,
    ...(oomKills === undefined ? {} : { oomKills }),
  }
}

/** The result of a run in a container. The measured process was only the engine's client, so its figures are dropped. */
export function inContainer(
  run: RunResult,
  facts: ContainerFacts | undefined,
  image: string,
  limitBytes: number | undefined,
): RunResult {
  const { wallMs } = run.metrics
  const reason = 'the command ran in a container, where only the peak is read'
  const names = [...Object.keys(run.metrics), ...Object.keys(run.absent)]
  const absent = Object.fromEntries(names.map((name) => [name, reason]))
  delete absent['wallMs']
  if (facts !== undefined) delete absent['peakBytes']
  const { timeline: _timeline, drivingStage: _driving, ...rest } = run
  const missing = 'the container reported no peak (cgroup v1 without a memory controller, or no memory.peak)'
  return {
    ...rest,
    peak:
      facts === undefined
        ? { source: 'sampled', way: missing }
        : { source: facts.source, way: `inside a container of ${image}`, bytes: facts.peakBytes },
    metrics: {
      ...(wallMs === undefined ? {} : { wallMs }),
      ...(facts === undefined ? {} : { peakBytes: facts.peakBytes }),
    },
    absent,
    stages: [],
    topProcesses: [],
    ...(limitBytes === undefined ? {} : { limit: limitIn(facts, limitBytes) }),
  }
}

function limitIn(facts: ContainerFacts | undefined, limitBytes: number): LimitFacts {
  if (facts?.oomKills === undefined)
    return {
      limitBytes,
      fit: 'not-imposed',
      evidence: 'the container reported no count of OOM kills',
    }
  const evidence = `--memory of the engine, OOM kills ${facts.oomKills}, peak ${facts.peakBytes}`
  const atLimit = facts.peakBytes >= limitBytes - 1024 ** 2
  return { limitBytes, fit: facts.oomKills > 0 ? 'killed' : atLimit ? 'reclaimed' : 'fitted', evidence }
}

/** A warning when native addons built here may not load in `image`, else undefined. Checks node_modules two levels deep. */
export function addonWarning(
  folder: string,
  image: string,
  version: string = process.version,
): string | undefined {
  const major = /^v(\d+)/.exec(version)?.[1]
  const other = /(?:^|\/)node:(\d+)/.exec(image)?.[1]
  if (other === major) return undefined
  const addons = nativeAddons(join(folder, 'node_modules'))
  if (addons.length === 0) return undefined
  const what = other === undefined ? 'an unknown version of Node' : `Node ${other}`
  return `${addons.slice(0, 3).join(', ')} ${addons.length === 1 ? 'is a native addon' : 'are native addons'} built for Node ${major}; ${image} has ${what}`
}

/** Packages with a `build/Release/*.node` or `prebuilds`. */
function nativeAddons(modules: string): string[] {
  const found: string[] = []
  const packages = list(modules).flatMap((name) =>
    name.startsWith('@') ? list(join(modules, name)).map((inner) => `${name}/${inner}`) : [name],
  )
  for (const name of packages)
    if (list(join(modules, name, 'build/Release')).some((file) => file.endsWith('.node'))) found.push(name)
  return found
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
