import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { importStatements, lineOfImport } from '../../src/audit/import-statements.ts'

const table: readonly [string, string, string][] = [
  ['a bare import', `import 'a'`, '1 static a'],
  ['a default import', `import x from "a"`, '1 static a'],
  ['names over lines', `import {\n  x,\n  y as z,\n} from 'a'\nimport 'b'`, '1 static a, 5 static b'],
  ['a namespace', `import * as n from 'a'`, '1 static a'],
  ['both', `import d, { e } from 'a'`, '1 static a'],
  ['with attributes', `import j from './j.json' with { type: 'json' }`, '1 static ./j.json'],
  [
    'minified',
    `import{a as b}from"a";export*from"c";export{d}from"e"`,
    '1 static a, 1 reexport c, 1 reexport e',
  ],
  ['star as', `export * as ns from 'a'`, '1 reexport a'],
  ['a local export list is none', `export { a }\nconst from = 'x'`, ''],
  ['an export of a value', `export const from = 'x'`, ''],
  ['dynamic', `const f = () => import('a')`, '1 dynamic a'],
  ['dynamic with a template', 'import(`a`)', '1 dynamic a'],
  ['dynamic, not literal', 'import(x); import(`a${b}`)', ''],
  ['import.meta', `import.meta.resolve('x')`, ''],
  ['require', `const a = require('a'), b = require("b").c`, '1 require a, 1 require b'],
  ['a method named require', `x.require('a')`, ''],
  ['in comments', `// import 'a'\n/* require('b')\n */ require('c')`, '3 require c'],
  ['in strings', `const s = "import 'a'"; const q = 'require("b")'`, ''],
  [
    'in a template',
    "const s = `import 'a'\n${require('b')} import 'c'`; require('d')",
    '2 require b, 2 require d',
  ],
  ['nested templates', "`${ { a: `${ require('b') }` } }`; require('c')", '1 require b, 1 require c'],
  ['after a regex with a quote', `const r = /['"]/g; require('a')`, '1 require a'],
  ['a division is no regex', `const x = a / b; require('c'); y = 1 / 2`, '1 require c'],
  ['a slash in a class', `x = /[/]'/; require('a')`, '1 require a'],
  ['after a hashbang', `#!/usr/bin/env node 'x\nrequire('a')`, '2 require a'],
  ['an escaped quote', `const s = 'it\\'s'; require('a')`, '1 require a'],
  ['a property named import', `const o = { import: 1 }; o.import('a')`, ''],
  ['types', `import type { A } from 'a'`, '1 static a'],
  ['unicode names', `import { été } from 'a'`, '1 static a'],
]

t.test('import statements are found with their lines, and no other text is', async (t) => {
  for (const [name, source, expected] of table)
    t.equal(
      importStatements(source)
        .map((s) => `${s.line} ${s.kind} ${s.specifier}`)
        .join(', '),
      expected,
      name,
    )
})

t.test('the line of an edge is that of its first statement', async (t) => {
  t.equal(lineOfImport(`import 'b'\n\nconst a = require('a')\nrequire('a')`, 'a'), 3)
  t.equal(lineOfImport('', 'a'), undefined)
})

t.test('the scanner accepts any text and always ends', async () => {
  const piece = fc.constantFrom(
    ...'`${}/\\\'"\n*()[]'.split(''),
    'import',
    'from',
    'a',
    'require(',
    '//',
    '/*',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      importStatements(pieces.join(''))
    }),
    { numRuns: 3000 },
  )
})

t.test('every relative import of this project is found', async (t) => {
  const src = resolve(dirname(fileURLToPath(import.meta.url)), '../../../src')
  for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((f) =>
    f.endsWith('.ts'),
  )) {
    const source = readFileSync(join(src, file), 'utf8')
    const byLine = [...source.matchAll(/^(?:import|export|\}) .*from '([^']+)'$/gm)].map((m) => m[1])
    const found = importStatements(source).map((s) => s.specifier)
    for (const specifier of byLine) if (!found.includes(specifier!)) t.fail(`${file}: ${specifier}`)
  }
})
