// What the benches of a hosted herd share: its files, the process that shares Node's pages with it, and a lane at rest.
import { createHerdFiles } from './herd-files.mjs'
import { startCompanion } from './hosts.mjs'
import { sleep, withHost } from './lanes.mjs'
import { memoryOf } from './memory.mjs'

/** Hands `use` the files of a herd (`settings` as createHerdFiles takes them) beside a companion; removes them after. */
export async function withHerd({ node }, settings, use) {
  const herd = createHerdFiles(settings)
  try {
    return await withHost(
      () => startCompanion(node),
      () => use(herd),
    )
  } finally {
    herd.remove()
  }
}

/** A lane: memory of the host `start` gives, once it has settled, and its ready time. */
export function laneAtRest({ settleMs }, start) {
  return () =>
    withHost(start, async (host) => {
      await sleep(settleMs)
      return { ...memoryOf(host), readyMs: host.readyMs }
    })
}
