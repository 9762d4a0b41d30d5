// What a profile of the shared loop has to know of the herd: who lives in the loop, and who profiles the others.

import type { Assignments } from '../../herd/assignments.ts'
import type { ProfileSource } from '../../herd/status.ts'
import type { WorkerSet } from '../../herd/worker-set.ts'

export function profileSource(
  workers: Pick<WorkerSet, 'runners' | 'get'>,
  assignments: Assignments,
  files: Pick<ProfileSource, 'folder' | 'label' | 'ownRoot' | 'clock'>,
): ProfileSource {
  const members = Array.from(workers.runners(), ({ spec }) => spec)
    .filter((spec) => assignments.of(spec) === 'shared')
    .map(({ name, source }) => ({ name, modulePath: source.path }))
  return {
    ...files,
    members,
    outside: (worker) => {
      const runner = workers.get(worker)
      if (runner !== undefined && assignments.of(runner.spec) === 'shared') return 'shared'
      return runner?.instance?.profile ?? 'absent'
    },
  }
}
