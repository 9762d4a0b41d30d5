// Which control messages are accepted, and that no others are.
import fc from 'fast-check'
import t from 'tap'
import { parseCommand } from '../../src/control/message.ts'
import type { Refusal } from '../../src/control/message.ts'
import { CONTROL_ACTIONS } from '../../src/herd/status.ts'

const good = { v: 1, id: 'a1', action: 'restart', by: 'ann', worker: 'webhook' }
const refusal = (message: unknown): Refusal => {
  const parsed = parseCommand(message)
  if (parsed.ok) throw new Error(`accepted ${JSON.stringify(message)}`)
  return parsed
}

t.test('a complete message becomes the command, and only its known keys', async (t) => {
  t.same(parseCommand(good), { ok: true, command: good })
  t.same(parseCommand({ ...good, args: {} }), { ok: true, command: good })
  t.same(parseCommand({ ...good, action: 'log-level', args: { level: 'debug' } }), {
    ok: true,
    command: { ...good, action: 'log-level', args: { level: 'debug' } },
  })
  t.same(parseCommand({ ...good, action: 'move', args: { to: 'process' } }), {
    ok: true,
    command: { ...good, action: 'move', args: { to: 'process' } },
  })
})

t.test('every action without an argument is accepted without one and refused with one', async (t) => {
  for (const action of CONTROL_ACTIONS) {
    const needs = action === 'move' || action === 'log-level'
    t.equal(parseCommand({ ...good, action }).ok, !needs, action)
    t.equal(parseCommand({ ...good, action, args: { force: true } }).ok, false, `${action} with args`)
  }
})

t.test('each invalid value is refused with its key and value', async (t) => {
  const table: [unknown, RegExp][] = [
    [null, /is a JSON object, got null/],
    [[], /got an array/],
    ['text', /got "text"/],
    [{ ...good, v: 2 }, /'v' must be 1, got 2/],
    [{ ...good, id: '' }, /'id' must be a string of 1 to 128/],
    [{ ...good, id: 7 }, /'id' must be .* got 7/],
    [{ ...good, id: 'x'.repeat(129) }, /129 characters/],
    [{ ...good, by: 'a\nb' }, /'by' must be/],
    [{ ...good, worker: '\0' }, /'worker' must be/],
    [{ ...good, action: 'explode' }, /'action' must be one of start, .* got "explode"/],
    [{ ...good, action: 'constructor' }, /'action' must be/],
    [{ ...good, action: '__proto__' }, /'action' must be/],
    [{ ...good, args: [] }, /'args' must be an object, got an array/],
    [{ ...good, action: 'move' }, /'args.to' must be one of shared, thread, process, got nothing/],
    [{ ...good, action: 'move', args: { to: 'moon' } }, /got "moon"/],
    [{ ...good, action: 'log-level', args: { level: 'loud' } }, /'args.level' must be one of trace/],
    [{ ...good, force: true }, /unknown key "force"/],
    [JSON.parse('{"v":1,"__proto__":{"id":"x"}}'), /unknown key "__proto__"/],
    [Object.assign(Object.create({ id: 'inherited' }), { v: 1 }), /is a JSON object/],
  ]
  for (const [message, expected] of table) {
    const { status, body } = refusal(message)
    t.match(
      { status, body },
      { status: 400, body: { v: 1, ok: false, error: { code: 'BYRE_CONTROL_REFUSED' } } },
    )
    t.match(body.error.message, expected)
  }
})

t.test('all problems are named at once, and a valid id is returned', async (t) => {
  const { body } = refusal({ v: 3, id: 'keep-me', action: 'explode', by: 1, extra: 1 })
  t.equal(body.id, 'keep-me')
  for (const part of ['"extra"', "'v'", "'action'", "'by'", "'worker'"]) t.match(body.error.message, part)
  t.equal(refusal({ ...good, id: '\n', v: 0 }).body.id, '', 'an invalid id does not')
})

t.test('a refusal is short for every message', async (t) => {
  const wide = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`k${i}${'x'.repeat(200)}`, i]))
  t.ok(refusal({ ...wide, ...good }).body.error.message.length < 1000)
  t.ok(
    refusal({ ...good, by: 'x'.repeat(60_000), action: 'y'.repeat(60_000) }).body.error.message.length < 1000,
  )
})

t.test('no input makes it throw, pollutes a prototype, or yields a command outside the tables', async (t) => {
  const key = fc.constantFrom(
    'v',
    'id',
    'action',
    'by',
    'worker',
    'args',
    '__proto__',
    'constructor',
    'to',
    'level',
  )
  const value = fc.oneof(
    fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withSparseArray: true,
    }),
    fc.constantFrom(
      1,
      'move',
      'log-level',
      'stop',
      'shared',
      'debug',
      {},
      { to: 'thread' },
      { level: 'info' },
    ),
  )
  const message = fc.oneof(
    value,
    fc.json().map((text) => JSON.parse(text) as unknown),
    fc.dictionary(key, value),
    fc.dictionary(key, value).map((d) => ({ ...good, ...d })),
  )
  let accepted = 0
  fc.assert(
    fc.property(message, (input) => {
      const parsed = parseCommand(input)
      if (parsed.ok) {
        accepted++
        const { action, args } = parsed.command
        if (!CONTROL_ACTIONS.includes(action)) return false
        return (args !== undefined) === (action === 'move' || action === 'log-level')
      }
      return parsed.body.error.message.length < 1500 && JSON.stringify(parsed.body).length < 4000
    }),
    { numRuns: 5000 },
  )
  t.ok(accepted > 0, 'the generator reaches accepted messages too')
  t.equal(({} as { id?: unknown }).id, undefined)
})

t.test('nesting as deep as 64 KiB allows is refused without descending into it', async (t) => {
  const deep = JSON.parse(`{"v":1,"args":${'['.repeat(30_000)}${']'.repeat(30_000)}}`) as unknown
  t.match(refusal(deep).body.error.message, /'args' must be an object|'action'/)
  const args = JSON.parse(`${'{"to":'.repeat(9_000)}1${'}'.repeat(9_000)}`) as unknown
  t.match(refusal({ ...good, action: 'move', args }).body.error.message, /got an object/)
})
