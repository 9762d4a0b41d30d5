// `byre supervise --explain`: explains the config without starting anything.

import { ByreError } from '../../base/errors.ts'
import { EXIT } from '../../base/exit-codes.ts'
import { loadHerd } from '../../config/load.ts'
import { explainHerd } from '../../report/explain.ts'
import { hostedWorkers } from '../../herd/worker-set.ts'
import { columns, print } from '../io.ts'
import type { SuperviseFlags } from './supervise.ts'

/** Prints the start order, stop order and restart delays of the workers that `supervise` would host with the same flags.
 *  Returns 0. Throws BYRE_CONFIG_* and BYRE_USAGE. */
export async function explain(flags: SuperviseFlags): Promise<number> {
  const { config: file, group, only } = flags
  const herd = await loadHerd({ cwd: process.cwd(), ...(file === undefined ? {} : { file }) })
  const unknown = (only ?? []).filter((name) => !herd.workers.some((worker) => worker.name === name))
  const hosted = hostedWorkers(herd, { group, ...(only === undefined ? {} : { only }) }).map(
    ({ name }) => name,
  )
  if (unknown.length > 0 || hosted.length === 0) {
    const names = herd.workers.map((worker) => `${worker.name} (group ${worker.group})`).join(', ')
    const what = unknown.length > 0 ? unknown.join(', ') : `group '${group}'`
    throw new ByreError('BYRE_USAGE', `Cannot explain ${what}: ${herd.file} has ${names}.`)
  }
  const width = columns()
  await print(explainHerd(herd, { only: hosted, ...(width === undefined ? {} : { width }) }))
  return EXIT.ok
}
