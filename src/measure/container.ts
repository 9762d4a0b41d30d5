// `--container IMAGE`: the command runs in a container of docker or podman, where a memory cgroup is to be had without any
// right here. The engine keeps the processes; byre waits for its client and takes the peak from inside: there is
// no split, no stage and no process. Pure but for findEngine and addonWarning.

import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { parseInteger } from '../procfs/fields.ts'
import type { LimitFacts, PeakSource, RunResult } from './result.ts'

export interface ContainerRun {
  readonly engine: string
  readonly image: string
  /** Mounted at the same path, and the folder the command starts in. */
  readonly folder: string
  readonly memoryBytes?: number
  /** Where the inside writes what its cgroup says; below `folder`. */
  readonly factsPath: string
}

export interface ContainerFacts {
  readonly source: PeakSource
  readonly peakBytes: number
  readonly oomKills?: number
}

/** The image of this Node's major version. */
export function defaultImage(version: string = process.version): string {
  return `node:${/^v(\d+)/.exec(version)?.[1] ?? 'lts'}-bookworm`
}

/** The path of docker or podman, docker first; undefined when there is neither. */
export function findEngine(path: string | undefined): string | undefined {
  for (const name of ['docker', 'podman'])
    for (const folder of (path ?? '').split(delimiter)) {
      const file = join(folder, name)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {
        // not here
      }
    }
  return undefined
}

/** The engine's command line around `command`. The command is an argument of the script, never part of its text. */
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
    INSIDE,
    'byre',
    run.factsPath,
    ...command,
  ]
}

const INSIDE = `facts=$1; shift
"$@"; status=$?
cg=/sys/fs/cgroup
{ if [ -e $cg/memory.peak ]; then echo "v2 $(cat $cg/memory.peak)"; cat $cg/memory.events
  elif [ -e $cg/memory/memory.max_usage_in_bytes ]; then echo "v1 $(cat $cg/memory/memory.max_usage_in_bytes)"; cat $cg/memory/memory.oom_control
  fi; } > "$facts" 2>/dev/null
exit $status`

/** What the inside wrote; undefined when it wrote no peak. */
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

/** What is known of a run whose processes the engine kept: nothing of the client's own figures is the command's. */
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
  const missing =
    'the inside of the container told no peak (cgroup v1 without a memory controller, or memory.peak is missing)'
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
      evidence: 'the inside of the container told nothing of oom kills',
    }
  const evidence = `--memory of the engine, oom kills ${facts.oomKills}, peak ${facts.peakBytes}`
  const atLimit = facts.peakBytes >= limitBytes - 1024 ** 2
  return { limitBytes, fit: facts.oomKills > 0 ? 'killed' : atLimit ? 'reclaimed' : 'fitted', evidence }
}

/** Why native addons built here may not load in `image`, or undefined. Looks two folders deep, which is where they are built. */
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
  const what = other === undefined ? `an image whose Node is not known` : `Node ${other}`
  return `${addons.slice(0, 3).join(', ')} ${addons.length === 1 ? 'is' : 'are'} native and built for Node ${major}; ${image} has ${what}`
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
