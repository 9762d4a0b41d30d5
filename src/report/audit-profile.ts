// The dominator tree as profiles for other tools: speedscope's sampled format and Chrome's trace events. Weights are
// bytes; a frame is a module, and its children are the modules that only it keeps loaded.

import type { AuditResult } from '../audit/result.ts'

/** A profile for https://www.speedscope.app (schema: speedscope's file-format-schema.json). */
export function speedscope(result: AuditResult): string {
  const samples: number[][] = []
  const weights: number[] = []
  walk(result, (path, selfBytes) => {
    samples.push(path.slice())
    weights.push(selfBytes)
  })
  const name = result.entries.map((e) => e.name).join(', ')
  return JSON.stringify({
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    name: `import floor of ${name}, Node ${result.nodeVersion}`,
    exporter: 'byre',
    activeProfileIndex: 0,
    shared: {
      frames: result.modules.map((m) => ({ name: m.label, ...(m.url === '' ? {} : { file: m.url }) })),
    },
    profiles: [
      {
        type: 'sampled',
        name: `${name}: retained memory`,
        unit: 'bytes',
        startValue: 0,
        endValue: weights.reduce((a, b) => a + b, 0),
        samples,
        weights,
      },
    ],
  })
}

/** Trace events for chrome://tracing and Perfetto, in time order; one microsecond of the timeline is one byte. A
 *  module that retains nothing has no event. */
export function chromeTrace(result: AuditResult): string {
  const starts = new Float64Array(result.modules.length)
  const sizes = new Float64Array(result.modules.length)
  const order: number[] = []
  let at = 0
  walk(
    result,
    (_path, selfBytes) => {
      at += selfBytes
    },
    (module) => {
      order.push(module)
      starts[module] = at
    },
    (module) => {
      sizes[module] = at - starts[module]!
    },
  )
  // Viewers nest by time only: an event of length 0 at the same start would be shown as the parent of others.
  const events = order
    .filter((module) => sizes[module]! > 0)
    .map((module) => {
      const { label, packageName, selfBytes, retainedBytes, kind } = result.modules[module]!
      return {
        name: label,
        cat: packageName === '' ? 'own' : packageName,
        ph: 'X',
        pid: 1,
        tid: 1,
        ts: starts[module],
        dur: sizes[module],
        args: { kind, selfBytes, retainedBytes },
      }
    })
  return JSON.stringify({
    displayTimeUnit: 'ms',
    metadata: { unit: '1 us = 1 byte', node: result.nodeVersion, exporter: 'byre' },
    traceEvents: events,
  })
}

/** Walks the dominator tree depth first, the largest child first, without recursion. */
function walk(
  result: AuditResult,
  sample: (path: readonly number[], selfBytes: number) => void,
  enter: (module: number) => void = () => undefined,
  leave: (module: number) => void = () => undefined,
): void {
  const children: number[][] = result.modules.map(() => [])
  for (const [i, m] of result.modules.entries()) if (m.dominator >= 0) children[m.dominator]!.push(i)
  for (const list of children)
    list.sort((a, b) => result.modules[b]!.retainedBytes - result.modules[a]!.retainedBytes)
  const path = [0]
  const next = [0]
  const begin = (module: number): void => {
    enter(module)
    // A module can free more than it retains; profiles have no negative weights.
    const { selfBytes } = result.modules[module]!
    if (selfBytes > 0) sample(path, selfBytes)
  }
  begin(0)
  while (path.length > 0) {
    const module = path.at(-1)!
    const child = children[module]![next.at(-1)!]
    if (child === undefined) {
      leave(module)
      path.pop()
      next.pop()
      continue
    }
    next[next.length - 1]! += 1
    path.push(child)
    next.push(0)
    begin(child)
  }
}
