import t from 'tap'
import { plugin } from '../../src/tap.ts'
import { importFloor } from '../../src/audit/import-floor.ts'
import { doubles, writeProgram } from './fixtures.ts'

// Children run in parallel with those of other tests, on few cores; memory does not depend on the load.
t.setTimeout(600_000)

t.test('importFloor works as an assertion in any runner and as a plugin of tap', async (t) => {
  const cacheFolder = t.testdir({})
  const cwd = writeProgram(`${cacheFolder}/p`, {
    'node_modules/heavy/package.json': '{"name":"heavy","main":"i.js"}',
    'node_modules/heavy/i.js': `exports.d = ${doubles(2)}`,
    'app.cjs': `require('heavy')`,
  })
  const options = { cwd, cacheFolder }
  t.match((await importFloor('app.cjs', { ...options, max: '3MiB', allow: ['heavy'] })).packages, [
    { name: 'heavy' },
  ])
  await t.rejects(importFloor('app.cjs', { ...options, max: '1MiB', deny: ['heavy'] }), {
    code: 'BYRE_AUDIT_FLOOR',
    message:
      /2 rules are broken:\n {2}heavy is loaded: app\.cjs:1 -> heavy\/i\.js\n {2}the floor is \d+ bytes, above the maximum of 1048576/,
  })
  await t.rejects(importFloor('app.cjs', { ...options, allow: [] }), { code: 'BYRE_AUDIT_FLOOR' })
  await t.rejects(importFloor('app.cjs', { ...options, max: 'much' }), { code: 'BYRE_ARGUMENT_INVALID' })

  const said: string[] = []
  const extended = plugin({
    pass: (message) => said.push(`pass ${message}`) > 0,
    fail: (message) => said.push(`fail ${message}`) < 0,
  })
  t.equal(await extended.importFloor('app.cjs', options), true)
  t.equal(await extended.importFloor('app.cjs', { ...options, deny: ['heavy'] }), false)
  t.match(said, [/^pass import floor of app\.cjs/, /^fail .*heavy is loaded: app\.cjs:1 -> heavy/])
})
