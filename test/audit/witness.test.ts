import t from 'tap'
import { audit } from '../../src/audit/audit.ts'
import { resolveEntry } from '../../src/audit/entry.ts'
import { doubles, writeProgram } from './fixtures.ts'

t.test('a heavy package is touched, untouched or unseen while the program loads', async (t) => {
  const cacheFolder = t.testdir({})
  const files: Record<string, string> = {}
  for (const name of ['called', 'extended', 'idle', 'required', 'required-idle', 'effect']) {
    files[`node_modules/${name}/package.json`] = `{"name":"${name}","main":"i.js"}`
    files[`node_modules/${name}/i.js`] =
      `exports.make = () => 1; exports.Base = class { #x = 1; get x() { return this.#x } }; exports.data = ${doubles(2)}`
  }
  files['main.mjs'] =
    `import { make } from 'called'; import { Base } from 'extended'; import { make as idle } from 'idle'
import './r.cjs'; import 'effect'
export const a = make(); export class B extends Base {}; export const later = () => idle(); new B().x`
  files['r.cjs'] =
    `const r = require('required'); const i = require('required-idle'); r.make(); exports.f = () => i.make()`
  const cwd = writeProgram(`${cacheFolder}/p`, files)
  const result = await audit({
    entries: [resolveEntry('main.mjs', cwd)],
    cwd,
    cacheFolder,
    runs: 1,
    proofRuns: 1,
  })
  const verdicts = Object.fromEntries(
    (result.usage?.packages ?? []).map((p) => [p.name, `${p.verdict} ${p.firstUse ?? ''}`]),
  )
  t.same(verdicts, {
    called: 'touched make',
    extended: 'touched Base',
    idle: 'untouched ',
    required: 'touched make',
    'required-idle': 'untouched ',
    effect: 'untouched ',
  })
})
