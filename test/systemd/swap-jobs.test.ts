// Jobs of a stream during a swap of the units that process them, and the swap back: none is lost.
import t from 'tap'
import { eventually } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis } from '../helpers/redis.ts'
import { createSwapHerd, GROUP, SINGLE } from '../helpers/swap-herd.ts'
import { startSystemd, systemdMissing } from '../helpers/systemd.ts'
import { HERD_FOLDER } from '../helpers/unit-herd.ts'

leakGuard(t)

/** Port in the network namespace. */
const PORT = '6379'
/** Adds jobs 1, 2, 3, ... until it is stopped; a separate program without byre. */
const PRODUCER = `n=0
while [ ! -e ${HERD_FOLDER}/enough ]; do
  redis-cli xadd 'byre:{h}:jobs:work' '*' p $((n + 1)) >/dev/null && n=$((n + 1)) && echo $n >${HERD_FOLDER}/made
  sleep 0.01
done`

t.test('jobs across a swap', { skip: systemdMissing() || noRedis }, async (t) => {
  const systemd = await startSystemd(t)
  const redis = ['redis-server', '--port', PORT, '--save', '']
  await systemd.must(['systemd-run', '--unit=jobs-server.service', ...redis])
  await eventually('redis', async () => (await systemd.exec(['redis-cli', 'ping'])).stdout === 'PONG')
  const herd = await createSwapHerd(
    systemd,
    { like: 'crew', needs: { network: 'outbound', paths: ['.'] } },
    { bus: `redis://127.0.0.1:${PORT}` },
  )
  const read = async (name: string): Promise<string[]> =>
    (await systemd.exec(['sh', '-c', `cat ${HERD_FOLDER}/${name}`])).stdout.split('\n').filter(Boolean)
  /** Every processed job, with the process that did it. */
  const done = async (): Promise<{ job: number; pid: string }[]> =>
    (await read('done-*')).map((line) => {
      const [job, pid] = line.split(' ') as [string, string]
      return { job: Number(job), pid }
    })
  const made = async (): Promise<number> => Number((await read('made')).at(-1) ?? 0)
  const known = new Set<string>()
  /** Resolves when each of `count` new processes has processed a job added from now on. */
  const goesOn = async (count: number): Promise<void> => {
    const since = await made()
    const fresh = await eventually(`jobs done by ${count} new processes`, async () => {
      const late = (await done()).filter(({ job, pid }) => job > since && !known.has(pid))
      const pids = new Set(late.map(({ pid }) => pid))
      return pids.size === count ? pids : undefined
    })
    for (const pid of fresh) known.add(pid)
  }

  await systemd.must(['systemd-run', '--unit=jobs-producer.service', 'sh', '-c', PRODUCER])
  await systemd.must(['systemctl', 'start', ...SINGLE])
  await goesOn(3)
  t.match(await herd.swap('--to', 'supervised'), { code: 0 })
  t.same(await herd.up(), [GROUP])
  await goesOn(1)
  t.match(await herd.swap('--to', 'individual'), { code: 0 })
  t.same(await herd.up(), SINGLE)
  await goesOn(3)
  await systemd.must(['touch', `${HERD_FOLDER}/enough`])
  await systemd.becomes('jobs-producer.service', 'ActiveState', 'inactive')

  const all = await made()
  const missing = async (): Promise<number[]> => {
    const got = new Set((await done()).map(({ job }) => job))
    return Array.from({ length: all }, (_, i) => i + 1).filter((job) => !got.has(job))
  }
  await eventually('every job done', async () => (await missing()).length === 0).catch(async () =>
    t.same(await missing(), [], 'no job is lost'),
  )
  const pending = ['redis-cli', 'xpending', 'byre:{h}:jobs:work', 'crew']
  await eventually('every job acked', async () => (await systemd.must(pending)).split('\n')[0] === '0')
  const twice = (await done()).length - all
  t.ok(all > 0, `${all} jobs, ${twice} done twice`)
  t.equal(known.size, 7, 'by three, by one, and by three again')
})
