// What a host did so far: CPU time and context switches, summed over its threads. The difference of two readings is the
// cost of an idle herd. Threads that have ended are not counted.
import { readFileSync, readdirSync } from 'node:fs'

export function activityOf(host) {
  const total = { cpuMs: 0, voluntarySwitches: 0, involuntarySwitches: 0, threads: 0 }
  for (const tid of readdirSync(`/proc/${host.pid}/task`)) {
    const task = readTask(`/proc/${host.pid}/task/${tid}`)
    if (task === undefined) continue
    for (const name of Object.keys(task)) total[name] += task[name]
    total.threads++
  }
  // A kernel built without scheduler statistics has the file and writes zeros.
  if (!(total.cpuMs > 0))
    throw new Error(`${host.label}: this kernel keeps no scheduler statistics (schedstat)`)
  return total
}

/** Undefined when the thread has ended. */
function readTask(folder) {
  try {
    const [cpuNs] = readFileSync(`${folder}/schedstat`, 'utf8').split(' ')
    const status = readFileSync(`${folder}/status`, 'utf8')
    const switches = (key) => Number(new RegExp(`^${key}:\\s*(\\d+)$`, 'm').exec(status)[1])
    return {
      cpuMs: Number(cpuNs) / 1e6,
      voluntarySwitches: switches('voluntary_ctxt_switches'),
      involuntarySwitches: switches('nonvoluntary_ctxt_switches'),
    }
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(error.code)) return undefined
    throw error
  }
}
