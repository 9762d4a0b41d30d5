// Most test machines have no container engine: a substitute runs the same script and records its arguments. How docker and
// podman interpret the arguments is not tested here.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  addonWarning,
  containerCommand,
  defaultImage,
  parseContainerFacts,
} from '../../src/measure/container.ts'
import { CLEAN_PATH, runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { BIN, folderFor, runMeasure } from '../helpers/measure.ts'

leakGuard(t)

/** A `docker` that runs the command after the image name, with `cgroup` instead of /sys/fs/cgroup. */
function standIn(folder: string): string {
  const bin = join(folder, 'bin')
  const cgroup = join(folder, 'cgroup')
  mkdirSync(bin)
  mkdirSync(cgroup)
  writeFileSync(join(cgroup, 'memory.peak'), '123456789\n')
  writeFileSync(join(cgroup, 'memory.events'), 'low 0\nmax 3\noom 0\noom_kill 0\n')
  writeFileSync(
    join(bin, 'docker'),
    `#!/bin/sh
printf '%s\\n' "$@" > ${folder}/args
while [ "$1" != /bin/sh ]; do shift; done
script=$(printf '%s' "$3" | sed 's#cg=/sys/fs/cgroup#cg=${cgroup}#')
shift 3
exec /bin/sh -c "$script" "$@"
`,
  )
  chmodSync(join(bin, 'docker'), 0o755)
  return bin
}

t.test(
  '--container: the peak comes from inside, the status from the command, other figures are absent',
  async (t) => {
    const cwd = folderFor(t)
    const PATH = `${standIn(cwd)}:${CLEAN_PATH}`
    const args = [
      '--container',
      'default',
      '--limit',
      '8GiB',
      '--json-only',
      '--',
      'sh',
      '-c',
      'echo "$0 it\'s" > said; exit 6',
      'a b',
    ]
    const { result, code } = await runMeasure(args, cwd, { PATH })
    t.equal(code, 1)
    const run = result.runs[0]!
    t.match(run.outcome, { kind: 'exited', code: 6 })
    t.match(run.peak, {
      source: 'cgroup-v2',
      bytes: 123456789,
      way: `inside a container of ${defaultImage()}`,
    })
    t.same(Object.keys(run.metrics).toSorted(), ['peakBytes', 'wallMs'])
    t.match(run.absent['pssBytes'], /only the peak is read/)
    t.match(run.limit, { fit: 'fitted' })
    t.equal(readFileSync(join(cwd, 'said'), 'utf8'), "a b it's\n", 'arguments arrive as they are')
    const called = readFileSync(join(cwd, 'args'), 'utf8').split('\n')
    for (const one of [
      'run',
      '--rm',
      '--cgroupns=private',
      `${8 * 1024 ** 3}b`,
      `${cwd}:${cwd}`,
      defaultImage(),
    ])
      t.ok(called.includes(one), one)
  },
)

t.test('--container without an engine is rejected', async (t) => {
  const cwd = folderFor(t)
  const done = await runCleanNode([BIN, 'measure', '--container', 'default', '--', 'true'], {
    cwd,
    env: { PATH: '/nowhere' },
  })
  t.equal(done.code, 1)
  t.match(done.stderr, /neither docker nor podman/)
})

t.test('the command is never part of the script text', async (t) => {
  const line = containerCommand({ engine: 'docker', image: 'i', folder: '/f', factsPath: '/f/x' }, [
    '$(rm -rf /)',
    "'",
  ])
  t.same(line.slice(-2), ['$(rm -rf /)', "'"])
  t.notMatch(line.at(-5)!, 'rm -rf')
})

t.test('native addons built for another Node cause a warning', async (t) => {
  const cwd = folderFor(t)
  t.equal(addonWarning(cwd, 'node:22-bookworm', 'v20.1.0'), undefined, 'no addons')
  mkdirSync(join(cwd, 'node_modules/@a/b/build/Release'), { recursive: true })
  writeFileSync(join(cwd, 'node_modules/@a/b/build/Release/b.node'), '')
  t.match(
    addonWarning(cwd, 'node:22-bookworm', 'v20.1.0'),
    /@a\/b is a native addon built for Node 20; node:22-bookworm has Node 22/,
  )
  t.equal(addonWarning(cwd, 'node:20-bookworm', 'v20.1.0'), undefined)
  t.match(addonWarning(cwd, 'debian:12', 'v20.1.0'), /unknown version of Node/)
})

t.test('parsing of the facts file', async (t) => {
  t.same(parseContainerFacts('v1 5\noom_kill_disable 0\noom_kill 2\n'), {
    source: 'cgroup-v1',
    peakBytes: 5,
    oomKills: 2,
  })
  for (const bad of ['', 'v2 ', 'v3 5', 'v2 max']) t.equal(parseContainerFacts(bad), undefined, bad)
})
