// Where sockets and state live: the table of DESIGN 3.3, row by row.
import t from 'tap'
import {
  checkSocketPath,
  herdDirectory,
  MAX_SOCKET_PATH_BYTES,
  runDirectory,
  socketPathOf,
  stateDirectory,
} from '../../src/base/places.ts'
import type { PlacesInput } from '../../src/base/places.ts'

const input = (env: Record<string, string>, uid = 1000): PlacesInput => ({
  env,
  uid,
  tmpdir: '/tmp',
  homedir: '/home/ann',
})

t.test(
  'the run directory follows $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR, root, tmpdir in this order',
  async (t) => {
    const table: [Record<string, string>, number, string][] = [
      [{ RUNTIME_DIRECTORY: '/run/byre', XDG_RUNTIME_DIR: '/run/user/1000' }, 1000, '/run/byre'],
      [{ RUNTIME_DIRECTORY: '/run/a:/run/b' }, 1000, '/run/a'],
      [{ XDG_RUNTIME_DIR: '/run/user/0' }, 0, '/run/user/0/byre'],
      [{}, 0, '/run/byre'],
      [{}, 1000, '/tmp/byre-1000'],
      [{ RUNTIME_DIRECTORY: '', XDG_RUNTIME_DIR: '' }, 1000, '/tmp/byre-1000'],
      [{ XDG_RUNTIME_DIR: 'relative' }, 1000, '/tmp/byre-1000'],
    ]
    for (const [env, uid, expected] of table)
      t.equal(runDirectory(input(env, uid)), expected, JSON.stringify(env))
  },
)

t.test('the state directory follows $STATE_DIRECTORY, $XDG_STATE_HOME, home in this order', async (t) => {
  const table: [Record<string, string>, string][] = [
    [{ STATE_DIRECTORY: '/var/lib/byre:/var/lib/b', XDG_STATE_HOME: '/x' }, '/var/lib/byre'],
    [{ XDG_STATE_HOME: '/x/state' }, '/x/state/byre'],
    [{ XDG_STATE_HOME: 'x' }, '/home/ann/.local/state/byre'],
    [{}, '/home/ann/.local/state/byre'],
  ]
  for (const [env, expected] of table) t.equal(stateDirectory(input(env)), expected)
})

t.test('one socket per group, for all groups, and per lone worker', async (t) => {
  t.equal(socketPathOf('/run/byre', 'shop', { kind: 'group', group: 'batch' }), '/run/byre/shop/batch.sock')
  t.equal(socketPathOf('/run/byre', 'shop', { kind: 'all' }), '/run/byre/shop/_all.sock')
  t.equal(socketPathOf('/run/byre', 'shop', { kind: 'run', worker: 'mail' }), '/run/byre/shop/run-mail.sock')
})

t.test('a name that would leave its folder is refused', async (t) => {
  for (const name of ['..', '.', '', 'a/b', '../x', 'a\0b', 'a\nb', 'x'.repeat(101)]) {
    t.throws(() => herdDirectory('/run', name), { code: 'BYRE_ARGUMENT_INVALID' }, JSON.stringify(name))
    t.throws(() => socketPathOf('/run', 'shop', { kind: 'group', group: name }), {
      code: 'BYRE_ARGUMENT_INVALID',
    })
  }
})

t.test('a socket path of 107 bytes is used, one of 108 is refused', async (t) => {
  const longest = `/${'x'.repeat(MAX_SOCKET_PATH_BYTES - 1)}`
  t.equal(checkSocketPath(longest), longest)
  t.throws(() => checkSocketPath(`${longest}x`), {
    code: 'BYRE_SOCKET_PATH_TOO_LONG',
    message: /at most 107 bytes, got 108/,
  })
  t.throws(() => checkSocketPath(`/${'ä'.repeat(54)}`), { code: 'BYRE_SOCKET_PATH_TOO_LONG' }, 'counts bytes')
})
