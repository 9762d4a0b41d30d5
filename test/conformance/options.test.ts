import t from 'tap'
import { script } from './script.ts'

interface Options {
  parseCommandLine: (argv: readonly string[]) => Record<string, unknown>
}
interface Apt {
  findMirror: (
    files: readonly { name: string; text: string }[],
  ) => { uri: string; signedBy?: string } | undefined
  parseUris: (text: string) => { uri: string; name: string; hash: string }[]
}
const { parseCommandLine } = await script<Options>('options.mjs')
const { findMirror, parseUris } = await script<Apt>('apt.mjs')

t.test('the defaults run the whole list in every placement', async (t) => {
  t.match(parseCommandLine([]), {
    command: 'run',
    placements: ['process', 'thread', 'shared'],
    list: 'all',
    sample: undefined,
    jobs: 2,
    node: process.execPath,
    nodeVersion: process.version,
  })
})

t.test('a wrong command line names the actual value and what is right', async (t) => {
  const cases: [string[], RegExp][] = [
    [['walk'], /Cannot run 'walk': give one of run, /],
    [['run', 'ws'], /Cannot run 'run ws'/],
    [['packages', 'left-pad'], /the tests of 'left-pad': give one of ws, /],
    [['--placement', 'moon'], /--placement: give one of process, thread, shared, all; got 'moon'/],
    [['--sample', '0'], /--sample: a whole number from 1 to 100000 is needed, got '0'/],
    [['--jobs', '1.5'], /--jobs: a whole number from 1 to 64 is needed, got '1.5'/],
    [['--list', 'no-such-file'], /--list: 'no-such-file' is neither/],
    [['--node', '/bin/sh'], /--node: the file must be named 'node', got '\/bin\/sh'/],
    [['--byre', '/no/launcher'], /--byre: '\/no\/launcher' cannot be executed \(ENOENT\)/],
    [['--save', '--sample', '5'], /--save: it records the whole list/],
    [['--colour'], /--colour/],
  ]
  for (const [argv, message] of cases) t.throws(() => parseCommandLine(argv), { message }, argv.join(' '))
})

t.test('packages are all of them or the named ones', async (t) => {
  t.same(parseCommandLine(['packages', 'ws', 'pino'])['packages'], ['ws', 'pino'])
  t.ok((parseCommandLine(['packages'])['packages'] as string[]).length >= 5)
  t.doesNotThrow(() => parseCommandLine(['packages', '--save']))
})

t.test('the mirror is the first Debian archive of the machine', async (t) => {
  const old = 'deb [signed-by=/usr/share/k.gpg arch=amd64] http://mirror.test/debian bookworm main\n'
  const stanzas = `Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security

Types: deb
URIs: https://mirror.test/debian/
Suites: bookworm
Signed-By: /usr/share/k.gpg
`
  const cases: [string, string, string, { uri: string; signedBy?: string } | undefined][] = [
    ['a line', 'a.list', old, { uri: 'http://mirror.test/debian', signedBy: '/usr/share/k.gpg' }],
    ['a stanza', 'a.sources', stanzas, { uri: 'https://mirror.test/debian/', signedBy: '/usr/share/k.gpg' }],
    ['a stanza that is off', 'a.sources', `Enabled: no\nURIs: http://mirror.test/debian\n`, undefined],
    ['another archive', 'a.list', 'deb http://mirror.test/ubuntu noble main\n', undefined],
    ['a comment', 'a.list', '# deb http://mirror.test/debian bookworm main\n', undefined],
  ]
  for (const [what, name, text, expected] of cases) t.same(findMirror([{ name, text }]), expected, what)
  t.equal(findMirror([]), undefined)
})

t.test('the URIs of a source package are those that apt prints', async (t) => {
  const text = `Reading package lists...
'http://mirror.test/debian/pool/main/n/nodejs/nodejs_20.orig.tar.xz' nodejs_20.orig.tar.xz 19886184 SHA256:ab12
`
  t.same(parseUris(text), [
    {
      uri: 'http://mirror.test/debian/pool/main/n/nodejs/nodejs_20.orig.tar.xz',
      name: 'nodejs_20.orig.tar.xz',
      hash: 'SHA256:ab12',
    },
  ])
})
