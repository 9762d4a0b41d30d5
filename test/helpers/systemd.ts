// A real systemd for a test file: scripts/systemd-ns, bound to the life of the test process. With BYRE_TEST_SYSTEMD=own it is
// that of this machine, which is then meant to be thrown away (scripts/test-vm).
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { eventually, nextEvent, readLines, within } from './events.ts'

/** The checkout; mounted at the same path inside. */
export const PROJECT_ROOT: string = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')
const SCRIPT = `${PROJECT_ROOT}/scripts/systemd-ns`

/** Where the checkout is mounted for units: a path that any user can reach, unlike a checkout below /root. Needs UNIT_MOUNT in the unit. */
export const UNIT_ROOT = '/opt/byre'
export const UNIT_MOUNT: string = `BindReadOnlyPaths=${PROJECT_ROOT}:${UNIT_ROOT}`

const OWN = process.env['BYRE_TEST_SYSTEMD'] === 'own'

/** Why no systemd can be started here, for `t.test(title, { skip })`; false when one can. */
export function systemdMissing(): string | false {
  if (OWN) return false
  const result = spawnSync(SCRIPT, ['check'], { encoding: 'utf8' })
  return result.status === 0 ? false : `systemd-ns: ${(result.stdout + result.stderr).trim()}`
}

/** The whole tree is cgroup v2: limits, pressure and kills are told as nowhere else. */
export function hasCgroup2(): boolean {
  return existsSync('/sys/fs/cgroup/cgroup.controllers')
}

export interface Exec {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** One entry of the journal; values are strings. */
export type Entry = Readonly<Record<string, string>>

export interface Systemd {
  /** Runs a command inside; `input` is its stdin. Does not throw on a bad status. */
  exec(command: readonly string[], input?: string): Promise<Exec>
  /** As exec, but rejects unless the status is 0; gives stdout. */
  must(command: readonly string[], input?: string): Promise<string>
  /** Writes a unit file and reloads systemd. */
  unit(name: string, text: string): Promise<void>
  /** `systemctl show` of one property. */
  property(unit: string, name: string): Promise<string>
  /** Waits until the property has the value. */
  becomes(unit: string, property: string, value: string): Promise<void>
  /** Entries of `journalctl ...args -o json`. */
  journal(...args: string[]): Promise<Entry[]>
  /** journal(...args), asked until an entry's MESSAGE matches. */
  journalWith(message: RegExp, ...args: string[]): Promise<Entry[]>
}

/** Boots one (about half a second) and stops it at the teardown of `t`. */
export async function startSystemd(t: { teardown(fn: () => unknown): void }): Promise<Systemd> {
  const inside = OWN ? [] : await bootNamespace(t)
  const exec = (command: readonly string[], input = ''): Promise<Exec> => run([...inside, ...command], input)
  const must = async (command: readonly string[], input?: string): Promise<string> => {
    const result = await exec(command, input)
    if (result.code !== 0) throw new Error(`${command.join(' ')}: ${JSON.stringify(result)}`)
    return result.stdout
  }
  const property = async (unit: string, key: string): Promise<string> =>
    (await must(['systemctl', 'show', '--value', '-p', key, unit])).trim()
  const since = OWN ? await journalFromNow(must) : []
  const journal = async (...rest: string[]): Promise<Entry[]> =>
    (await must(['journalctl', '--no-pager', '-o', 'json', ...since, ...rest]))
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Entry)
  return {
    exec,
    must,
    property,
    journal,
    async unit(file, text) {
      await must(['sh', '-c', `cat >/run/systemd/system/${file} && systemctl daemon-reload`], text)
    },
    async becomes(unit, key, value) {
      let seen = ''
      const same = async (): Promise<boolean> => (seen = await property(unit, key)) === value
      await eventually(`${unit} ${key}=${value}`, same).catch(async (error: unknown) => {
        const status = await exec(['systemctl', 'status', '--no-pager', '-n', '30', unit])
        throw new Error(`${String(error)}; it is ${seen}\n${status.stdout}`)
      })
    },
    journalWith: (message, ...rest) =>
      eventually(`a journal entry ${message}`, async () => {
        const entries = await journal(...rest)
        return entries.some((entry) => message.test(entry['MESSAGE'] ?? '')) ? entries : undefined
      }),
  }
}

/** A journal that was there before has what earlier tests wrote: only what comes from now on counts. */
async function journalFromNow(must: Systemd['must']): Promise<readonly string[]> {
  const told = await must(['journalctl', '--no-pager', '--quiet', '-n', '1', '--show-cursor'])
  const cursor = /^-- cursor: (.+)$/m.exec(told)?.[1]
  return cursor === undefined ? [] : [`--after-cursor=${cursor}`]
}

/** Boots it; gives the words that make a command one of its inside. */
async function bootNamespace(t: { teardown(fn: () => unknown): void }): Promise<readonly string[]> {
  const name = `test${process.pid}`
  // `cat` ends with its stdin: when this process dies, however, the namespace stops
  // -N: abstract sockets, which mark herds and lock a swap, belong to the network; other tests have the same herds
  const args = ['run', '-n', name, '-N', '-b', PROJECT_ROOT, '--', 'cat']
  const host = spawn(SCRIPT, args, { stdio: ['pipe', 'ignore', 'pipe'] })
  const lines = readLines(host.stderr)
  t.teardown(async () => {
    host.stdin.end()
    if (host.exitCode === null) await within(nextEvent(host, 'exit'), 'the end of systemd')
  })
  await lines.next(/ up in /)
  return [SCRIPT, 'exec', '-n', name, '--']
}

async function run(command: readonly string[], input: string): Promise<Exec> {
  const child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] })
  const [stdout, stderr] = [readLines(child.stdout), readLines(child.stderr)]
  child.stdin.on('error', () => {}) // a command that does not read
  child.stdin.end(input)
  const [code] = (await nextEvent(child, 'close')) as [number | null]
  return { code, stdout: stdout.all.join('\n'), stderr: stderr.all.join('\n') }
}
