// Remote<T>: what ctx.use of a HerdResource gives, as the compiler sees it.
import t from 'tap'
import type { HerdResource, Remote, Resource, WorkerContext } from '../../src/worker.ts'

interface Row {
  readonly id: number
}
declare class Db {
  readonly size: number
  count(): number
  rows(since: string, limit?: number): Promise<readonly Row[]>
  toString(): string
  toJSON(): string
}
type Same<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false

t.test(
  'its methods answer with promises of what they gave; nothing else of the value is there',
  async (t) => {
    const same: Same<
      Remote<Db>,
      {
        readonly count: () => Promise<number>
        readonly rows: (since: string, limit?: number) => Promise<readonly Row[]>
      }
    > = true
    t.ok(same)
  },
)

t.test('ctx.use of a module gives a Remote, and of functions what they give', async (t) => {
  // Never called: its types are the test.
  const uses = async (ctx: WorkerContext, module: HerdResource, own: Resource<number>): Promise<void> => {
    const db: Remote<Db> = await ctx.use<Db>(module)
    const rows: readonly Row[] = await db.rows('2026-11-01')
    const value: number = await ctx.use(own)
    t.ok([rows, value])
  }
  t.type(uses, 'function')
})
