// The units shipped for a config in /etc/byre, installed by hand as docs/systemd.md describes, without changes.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { startSystemd, systemdMissing, UNIT_ROOT } from '../helpers/systemd.ts'
import { createUnitHerd, HERD_FOLDER } from '../helpers/unit-herd.ts'

leakGuard(t)

const UNITS = '/usr/lib/node_modules/byre/units'
const GROUP = 'byre-supervise@default.service'

t.test('the templates in units/', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  await createUnitHerd(systemd) // the modules, and the checkout where every user can reach it
  const sh = async (script: string): Promise<string> => systemd.must(['sh', '-c', script])
  await sh(`mkdir -p /usr/lib/node_modules /etc/byre && ln -sfn ${UNIT_ROOT} /usr/lib/node_modules/byre`)
  const config = {
    name: 'shop',
    workers: {
      steady: { module: `${HERD_FOLDER}/steady.mjs` },
      listener: { module: `${HERD_FOLDER}/listener.mjs`, group: 'net', ready: 'call' },
    },
  }
  await sh(`echo 'export default ${JSON.stringify(config)}' >/etc/byre/byre.config.js`)

  t.test('sysusers and tmpfiles create the user and the journal folder', async (t) => {
    await systemd.must(['systemd-sysusers', `${UNITS}/byre.sysusers.conf`])
    t.match(
      await systemd.must(['getent', 'passwd', 'byre']),
      /^byre:x:\d+:\d+:byre workers:\/var\/lib\/byre:/,
    )
    await systemd.must(['systemd-tmpfiles', '--create', `${UNITS}/byre.tmpfiles.conf`])
    t.equal(await systemd.must(['stat', '-c', '%a %U %G', '/var/lib/byre-swap']), '700 root root')
  })

  await sh(`cp ${UNITS}/*.service ${UNITS}/*.socket ${UNITS}/byre.slice /etc/systemd/system`)
  await systemd.must(['systemctl', 'daemon-reload'])

  t.test('a group runs as user byre, and its stop is not a failure', async (t) => {
    await systemd.must(['systemctl', 'start', GROUP])
    t.equal(await systemd.property(GROUP, 'StatusText'), '1 running')
    const main = await systemd.property(GROUP, 'MainPID')
    t.equal(await systemd.must(['stat', '-c', '%U', `/proc/${main}`]), 'byre')
    await systemd.must(['systemctl', 'stop', GROUP])
    t.equal(await systemd.property(GROUP, 'ActiveState'), 'inactive')
    t.equal(await systemd.property(GROUP, 'Result'), 'success')
  })

  t.test('the next process knows how the last one ended', async (t) => {
    await systemd.must(['systemctl', 'start', GROUP])
    await systemd.must(['systemctl', 'kill', '--kill-whom=main', '-s', 'KILL', GROUP])
    const lines = await systemd.journalWith(/^last run: /, '-t', 'byre', '-u', GROUP)
    const line = lines.find((entry) => entry['MESSAGE']!.startsWith('last run: '))!['MESSAGE']!
    t.match(line, /evidence\.unit=.*"result":"signal","exitStatus":"KILL"/)
    await systemd.must(['systemctl', 'stop', GROUP])
  })

  t.test('a worker alone receives the socket of its socket unit', async (t) => {
    const [unit, socket] = ['byre@listener.service', 'byre@listener.socket']
    await systemd.must(['systemctl', 'start', socket])
    const ask =
      'require("net").connect("/run/byre-listener.sock").on("data", (d) => process.stdout.write(d)).on("error", (e) => { console.error(e); process.exit(1) })'
    t.match(await systemd.exec(['node', '-e', ask]), { code: 0, stdout: 'hello from listener fd 3' })
    // The worker listens before systemd knows about it.
    await systemd.becomes(unit, 'ActiveState', 'active')
    await systemd.must(['systemctl', 'stop', socket, unit])
    t.equal(await systemd.property(unit, 'Result'), 'success')
  })
})
