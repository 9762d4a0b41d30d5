// A group of three workers in a real systemd, with the units of both sides installed: what a swap goes to and fro between.
import type { HerdConfig } from '../../src/config/types.ts'
import type { Exec, Systemd } from './systemd.ts'
import { createUnitHerd } from './unit-herd.ts'
import type { UnitHerd } from './unit-herd.ts'

export const GROUP = 'byre-h-batch.service'
export const SINGLE = ['byre-h@one.service', 'byre-h@two.service', 'byre-h@three.service']

type Worker = Partial<HerdConfig['workers'][string]> & { readonly like?: string }

export interface SwapHerd extends UnitHerd {
  /** Writes the config, in which `three` differs from its siblings. */
  readonly configureThree: (three?: Worker) => Promise<void>
  /** `byre swap ARGS` with a short health window. */
  readonly swap: (...args: string[]) => Promise<Exec>
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
    up: async () => {
      const units = [GROUP, ...SINGLE]
      const states = await Promise.all(units.map((unit) => systemd.property(unit, 'ActiveState')))
      return units.filter((_, i) => states[i] === 'active')
    },
    openSwaps: async () => (await systemd.exec(['ls', '/var/lib/byre-swap/h'])).stdout,
  }
}
