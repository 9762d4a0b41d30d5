// The permissions a group's unit needs: the union of its workers' `needs`, and which worker widens it. Pure.

import type { NeedsConfig, ResolvedHerd, ResolvedWorker } from '../config/types.ts'

export type Network = NonNullable<NeedsConfig['network']>

/** One permission of a unit, and the workers (or parts of byre) that need it. */
export interface Grant {
  readonly value: string
  readonly by: readonly string[]
}

export interface Grants {
  readonly network: Network
  /** Workers that need some network; empty for 'none'. */
  readonly networkBy: readonly Grant[]
  readonly paths: readonly Grant[]
  readonly groups: readonly Grant[]
  readonly capabilities: readonly Grant[]
}

/** A worker that widens the unit of its group: moving it to a separate group removes permissions from the others. */
export interface Split {
  readonly worker: string
  /** The removed permissions: `docker group`, `write to /var/log`, `network outbound (the others need none)`. */
  readonly removes: readonly string[]
}

/** The union for `workers`, which run with the bus and the HTTP listener of `herd`. A worker that does not declare
 *  `network` counts as `full`, because its real needs are unknown. */
export function grantsOf(
  herd: Pick<ResolvedHerd, 'bus' | 'http'>,
  workers: readonly ResolvedWorker[],
): Grants {
  const networkBy = networkNeeds(herd, workers)
  return {
    network: networkBy.reduce<Network>((union, { value }) => widest(union, value as Network), 'none'),
    networkBy,
    paths: collect(workers, ({ paths }) => paths),
    groups: collect(workers, ({ groups }) => groups),
    capabilities: collect(workers, ({ capabilities }) => capabilities),
  }
}

/** For each worker, the permissions the others would lose if it moved to a separate group; workers without any are
 *  omitted. */
export function proposeSplits(
  herd: Pick<ResolvedHerd, 'bus' | 'http'>,
  workers: readonly ResolvedWorker[],
): Split[] {
  if (workers.length < 2) return []
  const all = grantsOf(herd, workers)
  return workers.flatMap(({ name }) => {
    const rest = grantsOf(
      herd,
      workers.filter((worker) => worker.name !== name),
    )
    const gone = (before: readonly Grant[], after: readonly Grant[]): string[] =>
      before.map(({ value }) => value).filter((value) => !after.some((grant) => grant.value === value))
    const removes = [
      ...gone(all.groups, rest.groups).map((group) => `${group} group`),
      ...gone(all.capabilities, rest.capabilities),
      ...gone(all.paths, rest.paths).map((path) => `write to ${path}`),
      ...(rest.network === all.network ? [] : [`network ${all.network} (the others need ${rest.network})`]),
    ]
    return removes.length === 0 ? [] : [{ worker: name, removes }]
  })
}

/** Marks a worker that does not declare `network`. */
const UNDECLARED = ' (network not declared)'

function networkNeeds(
  { bus, http }: Pick<ResolvedHerd, 'bus' | 'http'>,
  workers: readonly ResolvedWorker[],
): Grant[] {
  const needs: (readonly [string, Network])[] = workers.map(({ name, needs: { network } }) =>
    network === undefined ? [`${name}${UNDECLARED}`, 'full'] : [name, network],
  )
  if (bus.kind !== 'embedded') needs.push([`the ${bus.kind} bus`, 'outbound'])
  if (http !== undefined) needs.push(['the http listener', 'inbound'])
  const levels: readonly Network[] = ['full', 'inbound', 'outbound']
  return levels.flatMap((value) => {
    const by = needs.filter(([, network]) => network === value).map(([who]) => who)
    return by.length === 0 ? [] : [{ value, by }]
  })
}

function widest(a: Network, b: Network): Network {
  if (a === b || b === 'none') return a
  return a === 'none' ? b : 'full'
}

function collect(
  workers: readonly ResolvedWorker[],
  pick: (needs: NeedsConfig) => readonly string[] | undefined,
): Grant[] {
  const by = new Map<string, string[]>()
  for (const { name, needs } of workers) {
    for (const value of new Set(pick(needs))) by.set(value, [...(by.get(value) ?? []), name])
  }
  return [...by].map(([value, names]) => ({ value, by: names })).toSorted((a, b) => compare(a.value, b.value))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
