// Part of swap-inside.mjs: three workers take jobs of a Redis stream while their units are swapped for one and back. What a
// producer added that knows nothing of byre is compared with what was done and acked.
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const DIR = '/srv/jobs'
const KEY = 'byre:{jobs}:jobs:work'
const GROUP = 'crew'
const WORKERS = ['one', 'two', 'three']
const DEADLINE_MS = 60_000
const WORKER = `import { appendFileSync } from 'node:fs'
export const run = async ({ bus, name, signal }) => {
  for await (const job of bus.stream('work', { group: '${GROUP}', claimAfter: '1s', signal })) {
    appendFileSync('${DIR}/done-' + name, job.payload + ' ' + process.pid + '\\n')
    await job.ack()
  }
}
`
const PRODUCER = `n=0
while [ ! -e ${DIR}/enough ]; do
  redis-cli xadd '${KEY}' '*' p $((n + 1)) >/dev/null && n=$((n + 1)) && echo $n >${DIR}/made
  sleep 0.01
done`

/** `swap(config, to, healthMs)` does it and throws unless it went well; `must` runs a command. */
export async function jobsAcrossSwap({ must, swap, byre, units }) {
  mkdirSync(DIR, { recursive: true })
  writeFileSync(`${DIR}/worker.mjs`, WORKER)
  const config = `${DIR}/byre.config.json`
  const worker = { module: './worker.mjs', group: 'batch', needs: { network: 'outbound', paths: [DIR] } }
  const workers = Object.fromEntries(WORKERS.map((name) => [name, worker]))
  writeFileSync(config, JSON.stringify({ name: 'jobs', bus: 'redis://127.0.0.1:6379', workers }))
  await must('systemd-run', '--unit=jobs-server.service', 'redis-server', '--port', '6379', '--save', '')
  await until('redis', async () => (await must('redis-cli', 'ping')).startsWith('PONG'))
  await must(byre, 'units', '--config', config, '--user', 'root', '--out', units)
  await must('systemctl', 'daemon-reload')
  await must('systemctl', 'start', ...WORKERS.map((name) => `byre-jobs@${name}.service`))
  await must('systemd-run', '--unit=jobs-producer.service', 'sh', '-c', PRODUCER)
  await until('work by three', () => hands() === 3)
  await swap(config, 'supervised', 1000)
  await until('work by one', () => hands() === 4)
  await swap(config, 'individual', 1000)
  await until('work by three again', () => hands() === 7)
  appendFileSync(`${DIR}/enough`, '')
  await until('the end of the producer', async () => {
    const state = await must('systemctl', 'show', '--value', '-p', 'ActiveState', 'jobs-producer.service')
    return state.trim() === 'inactive'
  })
  const made = Number(readFileSync(`${DIR}/made`, 'utf8'))
  const lost = () => made - new Set(done().map(({ job }) => job)).size
  const pending = async () => Number((await must('redis-cli', 'xpending', KEY, GROUP)).split('\n')[0])
  await until('all to be done', async () => lost() === 0 && (await pending()) === 0).catch(() => {})
  const result = { made, lost: lost(), unacked: await pending(), twice: done().length - made + lost() }
  await must(
    'systemctl',
    'stop',
    'jobs-server.service',
    ...WORKERS.map((name) => `byre-jobs@${name}.service`),
  )
  return result
}

function done() {
  return readdirSync(DIR)
    .filter((name) => name.startsWith('done-'))
    .flatMap((name) => readFileSync(`${DIR}/${name}`, 'utf8').split('\n').slice(0, -1))
    .map((line) => {
      const [job, pid] = line.split(' ')
      return { job, pid }
    })
}

/** How many processes have done a job. */
function hands() {
  return new Set(done().map(({ pid }) => pid)).size
}

async function until(what, check) {
  const deadline = Date.now() + DEADLINE_MS
  for (;;) {
    const is = await Promise.resolve()
      .then(check)
      .catch(() => false)
    if (is) return
    if (Date.now() > deadline) throw new Error(`waited ${DEADLINE_MS} ms for ${what}`)
    await sleep(50)
  }
}
