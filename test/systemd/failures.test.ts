// Failures in a herd as systemd sees them, in the units of `byre units`.
import t from 'tap'
import { eventually, SLOWNESS } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { hasCgroup2, startSystemd, systemdMissing } from '../helpers/systemd.ts'
import { CONFIG, createUnitHerd } from '../helpers/unit-herd.ts'

leakGuard(t)

const PLACEMENTS = ['shared', 'thread', 'process'] as const
const unitOf = (group: string): string => `byre-h-${group}.service`

t.test('failures under systemd', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  const herd = await createUnitHerd(systemd)
  const neighbour = { like: 'steady' }
  await herd.configure(
    {
      steady: { group: 'calm' },
      flaky: {
        group: 'calm',
        needs: { paths: ['.'] },
        limit: { failures: 2 },
        backoff: { first: '0s', base: '1ms' },
      },
      vital: {
        like: 'flaky',
        group: 'vital',
        needs: { paths: ['.'] },
        critical: true,
        limit: { failures: 1 },
      },
      held: { group: 'held' },
      'held-neighbour': { ...neighbour, group: 'held' },
      hog: { group: 'hog' },
      'hog-neighbour': { ...neighbour, group: 'hog' },
      stubborn: { group: 'stubborn', stopTimeout: '300ms' },
      ...Object.fromEntries(
        PLACEMENTS.map((placement) => [
          `at-${placement}`,
          { group: placement, like: 'listener', ready: 'call', placement },
        ]),
      ),
    },
    { groups: { hog: { memoryMax: '160MiB' } } },
  )
  await herd.install('--watchdog', `${SLOWNESS}s`)
  const start = (group: string): Promise<unknown> => systemd.must(['systemctl', 'start', unitOf(group)])
  const restarts = async (group: string): Promise<number> =>
    Number(await systemd.property(unitOf(group), 'NRestarts'))
  /** The next start after the failure of `group`, once the unit is active. */
  const restarted = async (group: string): Promise<void> => {
    await eventually(`a restart of ${group}`, async () => (await restarts(group)) === 1 || undefined)
    await systemd.becomes(unitOf(group), 'ActiveState', 'active')
    await systemd.becomes(unitOf(group), 'SubState', 'running')
  }

  /** The main process has ended according to systemd; the next start is not before RestartSec. */
  const ended = (group: string, result: string): Promise<unknown> =>
    systemd.becomes(unitOf(group), 'Result', result)

  t.test('a failure inside the limit leaves the unit untouched', async (t) => {
    await start('calm')
    const pid = await systemd.property(unitOf('calm'), 'MainPID')
    await herd.go('flaky')
    await herd.until('calm', 'flaky restarted', ({ workers }) =>
      workers.some(({ name, restarts: n, state }) => name === 'flaky' && n === 1 && state === 'running'),
    )
    t.equal(await systemd.property(unitOf('calm'), 'MainPID'), pid)
    t.equal(await restarts('calm'), 0)
    t.equal((await herd.byre('status', '--group', 'calm')).code, 0)
  })

  t.test('a quarantine leaves the unit active; STATUS and byre status report it', async (t) => {
    await herd.go('flaky')
    const status = await eventually('STATUS of the quarantine', async () => {
      const text = await systemd.property(unitOf('calm'), 'StatusText')
      return /1 quarantined/.test(text) ? text : undefined
    })
    t.match(status, /^1 running, 1 quarantined; last: flaky: running -> quarantined: .*told to fail/)
    t.equal(await systemd.property(unitOf('calm'), 'ActiveState'), 'active')
    t.equal((await herd.byre('status', '--group', 'calm')).code, 1)
    await systemd.must(['systemctl', 'stop', unitOf('calm')])
    t.equal(await systemd.property(unitOf('calm'), 'ActiveState'), 'inactive', 'a stop is not a failure')
  })

  t.test('journalctl -t byre-<worker> shows one worker', async (t) => {
    const entries = await systemd.journal('-t', 'byre-steady')
    t.ok(entries.some((entry) => entry['MESSAGE'] === 'steady is up'))
    t.same([...new Set(entries.map((entry) => entry['_SYSTEMD_UNIT']))], [unitOf('calm')])
    const own = await systemd.journal('BYRE_GROUP=calm', '-t', 'byre')
    t.ok(own.length > 0, 'LogExtraFields of the unit')
  })

  t.test('the loss of a critical worker fails the unit, and systemd restarts it', async () => {
    await start('vital')
    await herd.go('flaky')
    await systemd.journalWith(/critical worker vital is lost: the herd stops/, '-t', 'byre')
    await restarted('vital')
    await herd.until('vital', 'vital runs again', ({ workers: [vital] }) => vital?.state === 'running')
    await systemd.must(['systemctl', 'stop', unitOf('vital')])
  })

  t.test('a loop blocked beyond WatchdogSec: SIGABRT, restart, and the worker is named', async (t) => {
    await start('held')
    await herd.go('held')
    await ended('held', 'watchdog')
    await herd.stopGoing('held')
    await restarted('held')
    const entries = await systemd.journalWith(/a worker ended the last process/, '-t', 'byre')
    const line = entries.find((entry) => /a worker ended the last process/.test(entry['MESSAGE']!))![
      'MESSAGE'
    ]!
    t.match(line, /^\[held\] /)
    t.match(line, /verdict=stalled/)
    const { workers } = await herd.status('held')
    t.match(
      workers.find(({ name }) => name === 'held'),
      { state: 'quarantined', lastExit: { verdict: 'stalled' } },
    )
    t.match(
      workers.find(({ name }) => name === 'held-neighbour'),
      { state: 'running' },
    )
    await systemd.must(['systemctl', 'stop', unitOf('held')])
  })

  t.test('a kill for MemoryMax: the next start gives the verdict oom-host', async (t) => {
    // Allocating that much memory blocks the loop as well, on a busy machine for longer than the watchdog of the other
    // units.
    const patient = `/run/systemd/system/${unitOf('hog')}.d`
    await systemd.must(['mkdir', '-p', patient])
    await systemd.unit(`${unitOf('hog')}.d/patient.conf`, '[Service]\nWatchdogSec=60s\n')
    await start('hog')
    await herd.go('hog')
    // On cgroup v1 systemd sees only a signal.
    await ended('hog', hasCgroup2() ? 'oom-kill' : 'signal')
    await herd.stopGoing('hog')
    await restarted('hog')
    const entries = await systemd.journalWith(/oom-host/, '-t', 'byre')
    const line = entries.find((entry) => /oom-host/.test(entry['MESSAGE']!))!['MESSAGE']!
    t.match(line, /verdict=oom-host/)
    t.match(line, /hog/)
    t.comment(
      `fact: MemoryMax of a unit: Result=${hasCgroup2() ? 'oom-kill' : 'signal'}; the next start: ${line}`,
    )
    await systemd.must(['systemctl', 'stop', unitOf('hog')])
  })

  t.test('a worker that ignores its signal is named, and the stop is bounded and clean', async (t) => {
    await start('stubborn')
    await systemd.must(['systemctl', 'stop', unitOf('stubborn')])
    t.equal(await systemd.property(unitOf('stubborn'), 'ActiveState'), 'inactive')
    t.equal(await systemd.property(unitOf('stubborn'), 'Result'), 'success')
    await systemd.journalWith(/^unstopped: stubborn/, '-t', 'byre', '-u', unitOf('stubborn'))
  })

  for (const placement of PLACEMENTS)
    t.test(`a worker with a socket unit receives the socket systemd listens on: ${placement}`, async (t) => {
      const [unit, path] = [`byre-h-${placement}.socket`, `/run/h-${placement}.sock`]
      await systemd.unit(unit, `[Socket]\nListenStream=${path}\nSocketMode=0666\n`)
      await systemd.must(['systemctl', 'start', unit])
      const ask = `require("net").connect("${path}").on("data", (d) => process.stdout.write(d)).on("error", (e) => { console.error(e); process.exit(1) })`
      const answer = { code: 0, stdout: `hello from at-${placement} fd 3` }
      t.match(await systemd.exec(['node', '-e', ask]), answer, 'started by the first who asks')
      t.match(await systemd.exec(['node', '-e', ask]), answer)
      t.match(await herd.status(placement), { workers: [{ state: 'running', placement, restarts: 0 }] })
      await systemd.must(['systemctl', 'stop', unit, unitOf(placement)])
      t.equal(await systemd.property(unitOf(placement), 'Result'), 'success')
    })

  t.test('an invalid config at start: exit code 78, and no restart loop', async (t) => {
    await systemd.must(['sh', '-c', `echo '{"name":"h","workrs":{}}' >${CONFIG}`])
    t.not((await systemd.exec(['systemctl', 'start', unitOf('calm')])).code, 0)
    await systemd.becomes(unitOf('calm'), 'ActiveState', 'failed')
    t.equal(await systemd.property(unitOf('calm'), 'ExecMainStatus'), '78')
    t.equal(await restarts('calm'), 0)
    await systemd.journalWith(/workrs: unknown key/, '-t', 'byre')
  })
})
