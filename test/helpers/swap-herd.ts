// A group of three workers in a real systemd, with the units of both sides installed: what a swap goes to and fro between.
import type { HerdConfig } from '../../src/config/types.ts'
import { UNIT_ROOT } from './systemd.ts'
import type { Exec, Systemd } from './systemd.ts'
import { CONFIG, createUnitHerd } from './unit-herd.ts'
import type { UnitHerd } from './unit-herd.ts'

export const GROUP = 'byre-h-batch.service'
export const SINGLE = ['byre-h@one.service', 'byre-h@two.service', 'byre-h@three.service']

type Worker = Partial<HerdConfig['workers'][string]> & { readonly like?: string }

export interface SwapHerd extends UnitHerd {
  /** Writes the config, in which `three` differs from its siblings. */
  readonly configureThree: (three?: Worker) => Promise<void>
  /** `byre swap ARGS` with a short health window. */
  readonly swap: (...args: string[]) => Promise<Exec>
  /**
   * `byre swap --to TO` whose swapper is killed (-9) before or after the call of systemctl for which `condition` holds: words
   * of sh, with `$calls` for the number of the call and `$2` for its verb.
   */
  readonly killedSwap: (to: string, condition: string, when: 'before' | 'after') => Promise<Exec>
  /** The units that are active. */
  readonly up: () => Promise<string[]>
  /** Names of journals of swaps that have not ended. */
  readonly openSwaps: () => Promise<string>
}

/** `all` is what every worker has in common. `systemd` needs a network of its own (`-N`): the lock of a swap is a name in it. */
export async function createSwapHerd(
  systemd: Systemd,
  all: Worker = { like: 'steady' },
  more: Partial<HerdConfig> = {},
): Promise<SwapHerd> {
  const herd = await createUnitHerd(systemd)
  const same = { ...all, group: 'batch' }
  const configureThree = (three: Worker = { after: ['one'] }): Promise<void> =>
    herd.configure({ one: same, two: same, three: { ...same, ...three } }, more)
  await configureThree()
  await herd.install()
  return {
    ...herd,
    configureThree,
    swap: async (...args) => herd.byre('swap', '--health', '100ms', ...args),
    killedSwap: async (to, condition, when) => {
      await systemd.must(['sh', '-c', WRITE_KILLER], killerText(condition, when))
      const env = ['env', `PATH=${KILLER}:/usr/local/bin:/usr/bin:/bin`]
      const args = ['swap', '--to', to, '--health', '100ms', '--config', CONFIG]
      return systemd.exec([...env, `${UNIT_ROOT}/units/byre`, ...args])
    },
    up: async () => {
      const units = [GROUP, ...SINGLE]
      const states = await Promise.all(units.map((unit) => systemd.property(unit, 'ActiveState')))
      return units.filter((_, i) => states[i] === 'active')
    },
    openSwaps: async () => (await systemd.exec(['ls', '/var/lib/byre-swap/h'])).stdout,
  }
}

const KILLER = '/opt/killer'
const WRITE_KILLER = `mkdir -p ${KILLER} && cat >${KILLER}/systemctl && chmod 755 ${KILLER}/systemctl && echo 0 >${KILLER}/calls`

function killerText(condition: string, when: 'before' | 'after'): string {
  const at = (moment: string, then: string): string =>
    when === moment ? `if ${condition}; then ${then}; fi` : ''
  return `#!/bin/sh
calls=$(($(cat ${KILLER}/calls) + 1))
echo $calls >${KILLER}/calls
${at('before', 'kill -9 $PPID; exit 1')}
/usr/bin/systemctl "$@"
code=$?
${at('after', 'kill -9 $PPID')}
exit $code
`
}
