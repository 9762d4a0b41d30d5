// A herd in /srv/herd of a real systemd (helpers/systemd.ts), hosted by units/byre as a user without privileges.
import type { HerdConfig } from '../../src/config/types.ts'
import type { SupervisorStatus } from '../../src/herd/status.ts'
import type { Exec, Systemd } from './systemd.ts'
import { eventually } from './events.ts'
import { PROJECT_ROOT, UNIT_MOUNT, UNIT_ROOT } from './systemd.ts'

export const HERD_FOLDER = '/srv/herd'
export const CONFIG: string = `${HERD_FOLDER}/byre.config.json`

/** Workers that do one thing each; `held` holds the loop and `hog` takes memory when /srv/herd/NAME.go is there. */
const WORKERS: Readonly<Record<string, string>> = {
  steady:
    "export const run = ({ signal, log }) => { log.info('steady is up'); return new Promise((done) => signal.addEventListener('abort', done)) }",
  // told to fail by a file, so that a test decides when
  flaky: `import { existsSync, rmSync } from 'node:fs'
export const run = (ctx) => new Promise((_, fail) => {
  ctx.signal.addEventListener('abort', fail)
  ctx.every('50ms', () => { if (existsSync('${HERD_FOLDER}/flaky.go')) { rmSync('${HERD_FOLDER}/flaky.go'); fail(new Error('told to fail')) } })
})`,
  failing: "export const run = async () => { throw new Error('told to fail') }",
  stubborn: 'export const run = () => new Promise(() => {})',
  listener: `import { createServer } from 'node:net'
export const run = (ctx) => new Promise((done) => {
  const server = createServer((socket) => socket.end('hello from ' + ctx.name + ' fd ' + (ctx.env.LISTEN_FDS === '1' ? 3 : 'none')))
  server.listen({ fd: 3 }, () => ctx.ready())
  ctx.signal.addEventListener('abort', () => server.close(done))
})`,
  held: `import { existsSync } from 'node:fs'
export const run = (ctx) => new Promise((done) => {
  ctx.signal.addEventListener('abort', done)
  ctx.every('50ms', () => { if (existsSync('${HERD_FOLDER}/held.go')) for (;;); })
})`,
  // takes jobs of the stream `work` with its siblings, and notes each before it acks it
  crew: `import { appendFileSync } from 'node:fs'
export const run = async ({ bus, name, signal }) => {
  for await (const job of bus.stream('work', { group: 'crew', claimAfter: '1s', signal })) {
    appendFileSync('${HERD_FOLDER}/done-' + name, job.payload + ' ' + process.pid + '\\n')
    await job.ack()
  }
}`,
  // takes 160 MB and keeps them, at the end so slowly that the loop turns while the kernel holds it back: a turn that takes
  // megabytes may last longer than WatchdogSec= then
  eater: `import { existsSync } from 'node:fs'
const kept = []
let bytes = 0
export const run = (ctx) => new Promise((done) => {
  ctx.signal.addEventListener('abort', done)
  ctx.every('50ms', () => {
    if (bytes >= 160e6 || !existsSync('${HERD_FOLDER}/eater.go')) return
    const piece = bytes < 120e6 ? 4e6 : 250e3
    kept.push(Buffer.alloc(piece, 1))
    bytes += piece
  })
})`,
  hog: `import { existsSync } from 'node:fs'
export const run = (ctx) => new Promise((done) => {
  ctx.signal.addEventListener('abort', done)
  ctx.every('50ms', () => {
    const kept = []
    // slow enough for the watch to note whose turn it is: what a worker takes faster is nobody's (docs/shared-fate.md)
    const pause = new Int32Array(new SharedArrayBuffer(4))
    while (existsSync('${HERD_FOLDER}/hog.go')) { kept.push(Buffer.alloc(4 << 20, 1)); Atomics.wait(pause, 0, 0, 20) }
  })
})`,
}

type Entry = Partial<HerdConfig['workers'][string]>

export interface UnitHerd {
  /** Writes the config: each worker's module is WORKERS[name], or that of `like`. */
  configure(
    workers: Readonly<Record<string, Entry & { readonly like?: string }>>,
    more?: Partial<HerdConfig>,
  ): Promise<void>
  /** Makes /srv/herd/NAME.go. */
  go(name: string): Promise<void>
  stopGoing(name: string): Promise<void>
  /** `byre ARGS` inside, as root. */
  byre(...args: string[]): Promise<Exec>
  /** Writes the units `byre units` makes, and reloads systemd. */
  install(...args: string[]): Promise<void>
  status(group: string): Promise<SupervisorStatus>
  /** `status`, asked until `check` holds. */
  until(group: string, what: string, check: (status: SupervisorStatus) => boolean): Promise<SupervisorStatus>
}

/** The directives of a unit beside Type= and Exec*=: who it runs as, and where the checkout is. */
export const UNIT_LINES: readonly string[] = [
  'User=nobody',
  UNIT_MOUNT,
  'RuntimeDirectory=byre',
  'RuntimeDirectoryMode=0700',
  'StateDirectory=byre',
]

export async function createUnitHerd(systemd: Systemd): Promise<UnitHerd> {
  const write = async (path: string, text: string): Promise<unknown> =>
    systemd.must(['sh', '-c', `cat >${path}`], text)
  await systemd.must(['sh', '-c', `mkdir -p ${HERD_FOLDER} ${UNIT_ROOT} && chmod 777 ${HERD_FOLDER}`])
  await systemd.must(['mount', '--bind', PROJECT_ROOT, UNIT_ROOT])
  for (const [name, text] of Object.entries(WORKERS)) await write(`${HERD_FOLDER}/${name}.mjs`, text)
  const byre = async (...args: string[]): Promise<Exec> =>
    systemd.exec(['sh', '-c', 'cd /srv/herd && exec "$@"', 'sh', LAUNCHER, ...args])
  const status = async (group: string): Promise<SupervisorStatus> => {
    const { stdout, stderr } = await byre('status', '--json', '--group', group)
    const [supervisor] = (JSON.parse(stdout) as { supervisors: SupervisorStatus[] }).supervisors
    if (supervisor === undefined) throw new Error(`no supervisor of '${group}': ${stdout}${stderr}`)
    return supervisor
  }
  return {
    byre,
    status,
    async configure(workers, more = {}) {
      const entries = Object.entries(workers).map(([name, { like = name, ...entry }]) => [
        name,
        { module: `./${like}.mjs`, ...entry },
      ])
      await write(CONFIG, JSON.stringify({ name: 'h', ...more, workers: Object.fromEntries(entries) }))
    },
    async install(...args) {
      const { code, stderr } = await byre(
        'units',
        '--user',
        'nobody',
        '--out',
        '/etc/systemd/system',
        ...args,
      )
      if (code !== 0) throw new Error(`byre units: ${stderr}`)
      await systemd.must(['systemctl', 'daemon-reload'])
    },
    async go(name) {
      await systemd.must(['sh', '-c', `touch ${HERD_FOLDER}/${name}.go`])
    },
    async stopGoing(name) {
      await systemd.must(['rm', '-f', `${HERD_FOLDER}/${name}.go`])
    },
    until: (group, what, check) =>
      eventually(what, async () => {
        const now = await status(group).catch(() => undefined)
        return now !== undefined && check(now) ? now : undefined
      }),
  }
}

/** The checkout's, at a path that any user can reach. */
const LAUNCHER = `${UNIT_ROOT}/units/byre`
