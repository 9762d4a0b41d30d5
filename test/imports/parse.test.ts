// The imports of one file, in every form in which Node or a loader for TypeScript reads it.
import t from 'tap'
import { openParser } from '../../src/imports/parse.ts'

const parse = await openParser()
const long = `const x = 1 // ${'x'.repeat(3_000_001)}\n`

interface Case {
  readonly file?: string
  readonly source: string
  readonly imports?: readonly string[]
  readonly requires?: readonly string[]
  readonly open?: boolean
}

const CASES: Readonly<Record<string, Case>> = {
  'static imports and re-exports': {
    source: `import a from './a.js'; import './b.js'; export * from './c.js'; export { d } from "d"`,
    imports: ['./a.js', './b.js', './c.js', 'd'],
  },
  'an import of types is none': {
    file: 'x.ts',
    source: `import type { A } from './a.ts'; import { b } from './b.ts'; export type { C } from './c.ts'`,
    imports: ['./b.ts'],
  },
  'import() of a literal': { source: `export const f = () => import('./late.js')`, imports: ['./late.js'] },
  'import() of an expression opens the file': { source: `await import(name)`, open: true },
  'import() of a template with a variable opens the file': { source: 'import(`./x/${y}.js`)', open: true },
  'text and comments import nothing': {
    source: `export const a = "import './no.js'" // import './no.js'\n/* require('no') */ const b = /require('no')/`,
  },
  'require() of a literal, also in a branch': {
    source: `const a = require('./a'); if (a) { exports.b = require("b/c") } else require(\`d\`)`,
    requires: ['./a', 'b/c', 'd'],
  },
  'a call that is no require': {
    source: `self.require('no'); my.module.require; required('no'); const x = { require: 1 }`,
  },
  'module.require': { source: `module.require('./a')`, requires: ['./a'] },
  'require() of an expression opens the file': {
    source: `require('./a'); require(join(x, 'y'))`,
    requires: ['./a'],
    open: true,
  },
  'require in a comment or a string of CommonJS is none': {
    source: `// require('no')\nexports.a = "require('no')"`,
  },
  'import() in CommonJS': {
    source: `exports.a = () => import('./late.mjs'); require('b')`,
    imports: ['./late.mjs'],
    requires: ['b'],
  },
  'a return at the top and a hashbang': {
    source: `#!/usr/bin/env node\nif (require('a')) return`,
    requires: ['a'],
  },
  'createRequire, under any name': {
    source: `import { createRequire } from 'node:module'; const load = createRequire(import.meta.url); load('./a'); createRequire(import.meta.url)('./b')`,
    imports: ['node:module'],
    requires: ['./a', './b'],
  },
  'the require of a bundle': { source: `import x from 'x'; __require('a')`, imports: ['x'], requires: ['a'] },
  'TypeScript that compiles to CommonJS': {
    file: 'x.cts',
    source: `const a: string = require('./a'); export = a as unknown`,
    requires: ['./a'],
  },
  'a CommonJS file too long for a tree': { source: `${long}require('./a')`, requires: ['./a'] },
  'a file that cannot be read may import anything': { source: `import { from 'x`, open: true },
  'JSON imports nothing': { file: 'x.json', source: `{"a": "require('no')"}` },
}

for (const [law, { file = 'x.js', source, imports = [], requires = [], open = false }] of Object.entries(
  CASES,
))
  t.test(law, async (t) => {
    const found = parse(source, `/app/${file}`)
    const of = (wanted: string): string[] =>
      found.specifiers.filter(([, mode]) => mode === wanted).map(([specifier]) => specifier)
    t.same(of('import').toSorted(), [...imports].toSorted(), 'imports')
    t.same(of('require').toSorted(), [...requires].toSorted(), 'requires')
    t.equal(found.open, open, 'open')
  })

t.test('the last source map counts', async (t) => {
  const source = `const mark = '//# sourceMappingURL=no.map'\nexport {}\n//# sourceMappingURL=x.js.map\n`
  t.equal(parse(source, '/app/x.js').sourceMap, 'x.js.map')
  t.equal(parse('export {}', '/app/x.js').sourceMap, undefined)
})
