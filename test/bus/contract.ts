// The laws every bus keeps, whatever carries the messages: embedded.test.ts and the Redis bus's tests apply them.
// Nothing here assumes that a publish has arrived when it resolves; `flush` waits for that.
import type { Test } from 'tap'
import type { HostBus } from '../../src/bus/bus.ts'
import { deliveryLaws } from './contract/delivery.ts'
import { overflowLaws } from './contract/overflow.ts'
import { refusalLaws } from './contract/refusals.ts'
import { requestLaws } from './contract/requests.ts'
import { scopeLaws } from './contract/scopes.ts'

/** What `makeBus` must build its bus with. */
export { CONTRACT_LIMITS } from './contract/harness.ts'

/** `makeBus` gives a bus of its own, with CONTRACT_LIMITS; `close` ends it and whatever it stands on. */
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
