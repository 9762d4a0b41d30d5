// The pure parts of the demo's workers, and their types.
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCleanNode } from '../helpers/clean-node.ts'
import { DEMO_FOLDER, demoModule } from './demo-module.ts'

t.test('the demo keeps the worker contract by the type checker', async (t) => {
  const cwd = fileURLToPath(new URL('..', DEMO_FOLDER))
  const tsc = await runCleanNode(['node_modules/typescript/bin/tsc', '-p', 'demo'], { cwd })
  t.equal(tsc.stdout + tsc.stderr, '')
  t.equal(tsc.code, 0)
})

t.test('a thumbnail has a quarter of the side, each pixel the mean of sixteen', async (t) => {
  const { parsePgm, shrink, formatPgm } = await demoModule('workers/thumbnail.js')
  const pixels = Buffer.from(Array.from({ length: 8 * 4 }, (_, i) => (i % 8 < 4 ? 10 : i % 2 ? 0 : 200)))
  const picture = parsePgm(Buffer.concat([Buffer.from('P5\n8 4\n255\n'), pixels]))
  t.same([...shrink(picture).pixels], [10, 100])
  t.same(formatPgm(shrink(picture)), Buffer.concat([Buffer.from('P5\n2 1\n255\n'), Buffer.from([10, 100])]))
  for (const bad of ['', 'P6\n8 4\n255\n', 'P5\n8 4\n255\nshort', 'P5\n99999999 1\n255\n']) {
    t.equal(parsePgm(Buffer.from(bad)), undefined, JSON.stringify(bad))
  }
})

t.test('a forecast continues a straight line', async (t) => {
  const { forecast } = await demoModule('workers/forecast.js')
  t.ok(Math.abs(forecast([1, 3, 5, 7]) - 9) < 1e-9)
  t.ok(Math.abs(forecast([4, 4]) - 4) < 1e-9)
})

t.test('a formula computes with its values and reaches nothing else', async (t) => {
  const { evaluate } = await demoModule('lib/formulas.js')
  t.equal(evaluate('(price - cost) / price', { price: 100, cost: 60 }), 0.4)
  for (const formula of ['import({}, {})', 'createUnit("x")', 'evaluate("1")', 'parse("1")']) {
    t.throws(() => evaluate(formula, {}), /not available in a formula/, formula)
  }
  t.throws(() => evaluate('cos.constructor("return process")()', {}))
})
