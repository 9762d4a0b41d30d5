// The units byre ships and makes, checked by systemd. The templates in units/ are made from the same text as generated
// units; BYRE_UPDATE_UNITS=1 writes them.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { herdUnits } from '../../src/systemd/herd-units.ts'
import type { UnitFile } from '../../src/systemd/herd-units.ts'
import { HEADER, hostingUnitText, INSTANCE, NO_HERD } from '../../src/systemd/unit-text.ts'
import type { HostingUnit } from '../../src/systemd/unit-text.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { resolvedHerd as herd } from '../helpers/resolved.ts'
import { PROJECT_ROOT, startSystemd, systemdMissing } from '../helpers/systemd.ts'
import { worker } from './herds.ts'

leakGuard(t)

/** Exposure by `systemd-analyze security`, in tenths: 0 is best, 100 worst. */
const EXPOSURE_MAX = 20
/** The folder in which `npm install --global` installs the package on Debian. */
const INSTALLED = '/usr/lib/node_modules/byre/units'
const BIN = join(PROJECT_ROOT, 'build/src/bin.js')
const install = { unitsFolder: INSTALLED, nodeFolder: '/usr/bin', user: 'byre' }

function template(
  more: Pick<HostingUnit, 'description' | 'command' | 'logFields'> & { label: string },
): string {
  const { label, ...rest } = more
  const text = hostingUnitText({
    ...rest,
    stoppedArguments: [NO_HERD, label],
    install: { ...install, folder: '/etc/byre' },
    grants: {
      network: 'full',
      networkBy: [],
      paths: [],
      groups: [],
      capabilities: [],
    },
    conflicts: [],
    after: ['network.target'],
    restart: 'on-failure',
    startMs: 90_000,
    stopMs: 90_000,
    watchdogMs: 30_000,
    hasProcessWorkers: true,
    limitsProcessMemory: false,
    readPaths: [],
  })
  return `# For a config in /etc/byre and byre installed in ${INSTALLED}; \`byre units\` makes units for other paths.\n\n${text}`
}

const TEMPLATES: readonly UnitFile[] = [
  {
    name: 'byre@.service',
    text: template({
      description: `byre: worker ${INSTANCE}, alone`,
      command: ['run', INSTANCE, '--config', '/etc/byre/byre.config.js'],
      logFields: { BYRE_WORKER: '%i' },
      label: `run-${INSTANCE}`,
    }),
  },
  {
    name: 'byre-supervise@.service',
    text: template({
      description: `byre: the workers of group ${INSTANCE}`,
      command: ['supervise', '--config', '/etc/byre/byre.config.js', '--group', INSTANCE],
      logFields: { BYRE_GROUP: '%i' },
      label: INSTANCE,
    }),
  },
]

/** Needs of every kind, a process worker, limits, and a path that needs quoting. */
const RICH = herd(
  [
    worker('quiet', { network: 'none' }),
    worker(
      'caller',
      { network: 'outbound', paths: ['/srv/shop/out put'] },
      { group: 'net', after: ['quiet'] },
    ),
    worker('docker', { network: 'none', groups: ['adm'] }, { group: 'wide', placement: 'process' }),
    worker('held', { network: 'none' }, { group: 'held', placement: 'process', memoryMaxBytes: 50 << 20 }),
    worker('port', { network: 'inbound', capabilities: ['CAP_NET_BIND_SERVICE'] }, { group: 'wide' }),
    worker('plain', {}, { group: 'undeclared', restart: 'never', memoryMaxBytes: 50 << 20 }),
  ],
  { groups: { batch: { memoryHighBytes: 300 << 20, memoryMaxBytes: 400 << 20 } } },
)

const made = herdUnits(RICH, { install, watchdogMs: 30_000 })
const textOf = (name: string): string => made.find((unit) => unit.name === name)!.text

t.test('the templates in units/ are made from the text of generated units', async (t) => {
  for (const { name, text } of TEMPLATES) {
    const file = join(PROJECT_ROOT, 'units', name)
    if (process.env['BYRE_UPDATE_UNITS'] === '1') writeFileSync(file, text)
    t.equal(readFileSync(file, 'utf8'), text, name)
  }
})

t.test('one unit per group and one per worker alone, each in Conflicts= of the other', async (t) => {
  t.same(made.map(({ name }) => name).slice(0, 5), [
    'byre-shop-batch.service',
    'byre-shop-net.service',
    'byre-shop-wide.service',
    'byre-shop-held.service',
    'byre-shop-undeclared.service',
  ])
  t.match(textOf('byre-shop-wide.service'), 'Conflicts=byre-shop@docker.service byre-shop@port.service\n')
  t.match(textOf('byre-shop@port.service'), 'Conflicts=byre-shop-wide.service\n')
  t.match(textOf('byre-shop-net.service'), /^After=network.target byre-shop-batch.service$/m)
  const existing = herdUnits(RICH, { install, watchdogMs: 30_000, individual: 'shop-%w.service' })
  t.match(existing[0]!.text, 'Conflicts=shop-quiet.service\n')
  t.notOk(existing.some(({ name }) => name.includes('@quiet')))
})

t.test('limits and timeouts come from the config', async (t) => {
  t.match(textOf('byre-shop-batch.service'), 'MemoryHigh=314572800\nMemoryMax=419430400\n')
  t.match(textOf('byre-shop@plain.service'), 'Restart=no\n')
  t.match(textOf('byre-shop@plain.service'), 'MemoryMax=52428800\n')
  const slow = worker('slow', {}, { stopTimeoutMs: 60_000, after: ['quick'] })
  const [unit] = herdUnits(herd([worker('quick', {}), slow]), { install, watchdogMs: 1000 })
  t.match(unit!.text, 'TimeoutStopSec=75s\n', 'two levels of the stop order, 60 s and 5 s, and the tear-down')
})

t.test('a unit allows what its workers need and no more', async (t) => {
  t.match(textOf('byre-shop-batch.service'), 'PrivateNetwork=yes\n')
  t.match(textOf('byre-shop-net.service'), 'ReadWritePaths="-/srv/shop/out put"\n')
  t.notMatch(textOf('byre-shop-batch.service'), 'ReadWritePaths')
  t.match(textOf('byre-shop-wide.service'), 'SupplementaryGroups=adm\n')
  t.match(textOf('byre-shop-wide.service'), 'CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n')
  t.match(textOf('byre-shop@docker.service'), 'CapabilityBoundingSet=\n')
})

t.test('only a group that limits a process worker may create cgroups', async (t) => {
  t.match(textOf('byre-shop-held.service'), /^Delegate=memory$/m)
  t.notMatch(textOf('byre-shop-held.service'), 'ProtectControlGroups')
  t.match(textOf('byre-shop-wide.service'), /^ProtectControlGroups=yes$/m)
  t.notMatch(textOf('byre-shop-wide.service'), 'Delegate')
})

t.test('byre units writes its own files and overwrites no others', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'byre-t-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'a.mjs'), 'export const run = () => {}')
  writeFileSync(join(folder, 'byre.config.json'), '{"name":"h","workers":{"a":{"module":"./a.mjs"}}}')
  const units = (...args: string[]) => runCleanNode([BIN, 'units', ...args], { cwd: folder })
  const out = join(folder, 'out')
  t.match(await units('--out', out), { code: 0, stderr: '' })
  t.match(await units('--out', out), { code: 0, stderr: '' }, 'again')
  writeFileSync(join(out, 'byre-h@gone.service'), readFileSync(join(out, 'byre-h@a.service')))
  writeFileSync(join(out, 'byre-h@theirs.service'), '[Service]\n')
  t.match(await units('--out', out), {
    code: 0,
    stderr: /^byre: units in '[^']*' that this config no longer generates: byre-h@gone\.service\. Run/,
  })
  for (const name of ['gone', 'theirs']) rmSync(join(out, `byre-h@${name}.service`))
  t.same(readdirSync(out).toSorted(), [
    'byre-h-default.service',
    'byre-h@a.service',
    'byre-swap-resume@h.service',
    'byre.slice',
  ])
  const own = readFileSync(join(out, 'byre-h@a.service'), 'utf8')
  t.ok(own.startsWith(`${HEADER} for herd h from ${folder}/byre.config.json\n`))
  writeFileSync(join(out, 'byre-h@a.service'), '[Service]\n')
  rmSync(join(out, 'byre-h-default.service'))
  t.match(await units('--out', out), { code: 1, stderr: /'byre-h@a.service' does not/ })
  t.notOk(readdirSync(out).includes('byre-h-default.service'), 'nothing is written then')
  t.match(await units('--individual', 'x.service'), { code: 2, stderr: /%w/ })
  t.match(await units('--explain'), {
    code: 0,
    stdout: /network full +because of a \(network not declared\)/,
  })
  t.match(JSON.parse((await units('--json')).stdout), {
    version: 1,
    units: [{ name: 'byre-h-default.service' }],
  })
})

t.test('special characters in a path are escaped; a path that systemd cannot read is refused', async (t) => {
  const odd = (file: string, paths: string[]) =>
    herdUnits(herd([worker('w', { network: 'none', paths })], { name: 'odd', file, folder: dirname(file) }), {
      install: { ...install, nodeFolder: '/opt/$node' },
      watchdogMs: 30_000,
    })[0]!.text
  const text = odd('/srv/h/c.json', ['/srv/o $x %i "q'])
  t.match(text, 'ReadWritePaths="-/srv/o $x %%i \\"q"\n')
  t.match(text, /^Environment=PATH=\/opt\/\$node:/m)
  for (const file of ['/srv/a\nUser=root/c.json', '/srv/a /c.json', '/srv/a\\/c.json', '/srv/a\u001b/c.json'])
    t.throws(() => odd(file, []), { code: 'BYRE_UNITS_TEXT' }, JSON.stringify(file))
})

t.test('systemd accepts the units', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  await systemd.must(['mkdir', '-p', '/usr/lib/node_modules'])
  await systemd.must(['ln', '-s', PROJECT_ROOT, '/usr/lib/node_modules/byre'])
  const folder = '/etc/systemd/system'
  const shipped = readdirSync(join(PROJECT_ROOT, 'units'))
    .filter((name) => /\.(service|socket|slice)$/.test(name))
    .map((name) => ({ name, text: readFileSync(join(PROJECT_ROOT, 'units', name), 'utf8') }))
  t.ok(shipped.length >= 4)
  const files = [...shipped.filter(({ name }) => name !== 'byre.slice'), ...made]
  for (const { name, text } of files) await systemd.must(['sh', '-c', `cat >'${folder}/${name}'`], text)

  t.test('verify is clean', async (t) => {
    const names = files.map(({ name }) => name.replace('@.', '@one.'))
    const paths = names.map((name) => `${folder}/${name}`)
    t.same(await systemd.exec(['systemd-analyze', 'verify', '--man=no', ...paths]), {
      code: 0,
      stdout: '',
      stderr: '',
    })
    await systemd.must(['sh', '-c', `echo 'Nonsense=yes' >>${folder}/byre-shop-net.service`])
    const broken = await systemd.exec([
      'systemd-analyze',
      'verify',
      '--man=no',
      `${folder}/byre-shop-net.service`,
    ])
    t.match(broken.stderr, /Nonsense/, 'it would have said so')
  })

  t.test(`exposure is at most ${EXPOSURE_MAX / 10}`, async (t) => {
    for (const { name } of files.filter(
      (file) => file.name.endsWith('.service') && !file.name.includes('resume'),
    )) {
      const path = `${folder}/${name}`
      const args = ['--offline=true', '--no-pager', `--threshold=${EXPOSURE_MAX}`, path]
      const { code, stdout } = await systemd.exec(['systemd-analyze', 'security', ...args])
      const exposure = /Overall exposure level for .*: ([\d.]+)/.exec(stdout)?.[1]
      t.equal(code, 0, `${name}: ${exposure}`)
      t.ok(Number(exposure) > 0 && Number(exposure) <= EXPOSURE_MAX / 10, `${name}: ${exposure}`)
    }
  })

  t.test('a path with blanks, % and $ reaches byre as it is', async (t) => {
    const file = '/srv/a b/100% $HOME "q"\\.json'
    const odd = herd([worker('w', { network: 'none' })], { name: 'odd', file, folder: dirname(file) })
    for (const { name, text } of herdUnits(odd, { install, watchdogMs: 30_000 }))
      await systemd.must(['sh', '-c', `cat >'${folder}/${name}'`], text)
    await systemd.must(['systemctl', 'daemon-reload'])
    // systemd resolves $$ and %% when it runs the command, so the test reads that.
    const shown = await systemd.property('byre-odd-batch.service', 'ExecStart')
    t.match(
      shown,
      `argv[]=${INSTALLED}/byre supervise --config /srv/a b/100% $$HOME "q"\\.json --group batch ;`,
    )
    t.equal(await systemd.property('byre-odd-batch.service', 'WorkingDirectory'), '/srv/a b')
  })
})
