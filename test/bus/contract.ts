// The laws of every bus, for any transport. embedded.test.ts and redis.test.ts apply them.
// Nothing here assumes that a publish has arrived when it resolves; `flush` waits for that.
import type { Test } from 'tap'
import type { HostBus } from '../../src/bus/bus.ts'
import { deliveryLaws } from './contract/delivery.ts'
import { overflowLaws } from './contract/overflow.ts'
import { refusalLaws } from './contract/refusals.ts'
import { requestLaws } from './contract/requests.ts'
import { scopeLaws } from './contract/scopes.ts'

/** The limits that `makeBus` must use. */
export { CONTRACT_LIMITS } from './contract/harness.ts'

/** `makeBus` creates a separate bus with CONTRACT_LIMITS; `close` closes it and everything under it. */
export function busContract(
  t: Test,
  name: string,
  makeBus: () => Promise<{ bus: HostBus; close(): Promise<void> }>,
): void {
  for (const laws of [deliveryLaws, overflowLaws, refusalLaws, requestLaws, scopeLaws]) {
    for (const [title, law] of Object.entries(laws)) {
      t.test(`${name}: ${title}`, async (t) => {
        const made = await makeBus()
        t.teardown(() => made.close())
        await law(t, made.bus)
      })
    }
  }
}
