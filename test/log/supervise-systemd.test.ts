// Logs end to end: a herd under a real systemd, one journal identifier per worker.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { startSystemd, systemdMissing, UNIT_MOUNT, UNIT_ROOT } from '../helpers/systemd.ts'

leakGuard(t)

t.test(
  'journalctl -t byre-<worker> shows one worker of a hosted herd',
  { skip: systemdMissing() },
  async (t) => {
    const systemd = await startSystemd(t)
    const command = `${UNIT_ROOT}/build/src/bin.js supervise --config ${UNIT_ROOT}/test/fixtures/log/herd/byre.config.json`
    const unit = `[Service]
User=nobody
${UNIT_MOUNT}
RuntimeDirectory=herd
StateDirectory=herd
ExecStart=${process.execPath} ${command}
`
    await systemd.unit('herd.service', unit)
    await systemd.must(['systemctl', 'start', 'herd'])
    await systemd.journalWith(/^herd is up/, '-t', 'byre')
    const entriesOf = async (worker: string): Promise<string[]> =>
      (await systemd.journal('-t', `byre-${worker}`)).map(
        (e) => `${e['PRIORITY']} ${e['MESSAGE']!.replace(/ event=.*/, '')}`,
      )

    t.same((await entriesOf('ticker')).slice(-2), [
      '6 hello from ticker ms=12',
      '6 starting -> running: ready',
    ])
    const talker = await entriesOf('talker')
    t.ok(talker.includes('6 printed to the console stream=stdout'), talker.join('\n'))
    t.ok(talker.includes('4 printed to stderr stream=stderr'))
    t.ok(talker.includes('6 running -> stopped: run() rejected: Error: talked enough'))
    t.same(await entriesOf('sleeper'), [], 'a dormant worker has no stream')

    await systemd.must(['systemctl', 'stop', 'herd'])
    t.equal(await systemd.property('herd', 'Result'), 'success')
    await systemd.journalWith(/^herd is down/, '-t', 'byre')
    t.equal((await entriesOf('ticker')).at(-1), '6 stopping -> stopped: done')
    const others = await systemd.journal('_SYSTEMD_UNIT=herd.service')
    t.same(
      others.map((e) => e['SYSLOG_IDENTIFIER']).filter((id) => !/^byre(-ticker|-talker)?$/.test(id!)),
      [],
    )
  },
)
