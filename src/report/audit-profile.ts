// The dominator tree as profiles that other tools open: speedscope's sampled format and Chrome's trace events. Weights
// are bytes; a frame is a module, its children are what it alone keeps loaded.

import type { AuditResult } from '../audit/result.ts'

/** A file for https://www.speedscope.app (schema: file-format-schema.json of speedscope). */
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

/** Trace events for chrome://tracing and Perfetto, in the order of time; one microsecond of the time line is one byte.
 *  A module that holds nothing has no event. */
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
  // Readers nest by time alone: one event of no length among others that begin with it is taken for their parent.
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

/** Depth first over the dominator tree, the largest child first, without the call stack. */
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
    // A module can free more than it holds; a profile knows no negative weight.
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
