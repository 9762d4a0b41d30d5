// Programs to audit, written to a temporary folder of the test.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export function writeProgram(folder: string, files: Readonly<Record<string, string>>): string {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

/** Source of an array of doubles of `mebibytes` MiB, in the heap. */
export const doubles = (mebibytes: number): string => `new Array(${mebibytes} * 131072).fill(1.5)`

/** An index and 25 modules that all import a hub, which imports a heavy package. Making one of the imports lazy
 *  saves nothing. */
export function seedCase(): Record<string, string> {
  const files: Record<string, string> = {
    'package.json': '{"type":"module"}',
    'node_modules/heavy-orm/package.json': '{"name":"heavy-orm","type":"module","exports":"./index.js"}',
    'node_modules/heavy-orm/index.js': `import './driver.cjs'; export const Entity = ${doubles(3)}`,
    'node_modules/heavy-orm/driver.cjs': `exports.driver = ${doubles(5)}`,
    'entities/index.js': Array.from({ length: 25 }, (_, i) => `export * from './table-${i}.js'`).join('\n'),
    'cli/index.js': [
      `import '../topology/index.js'`,
      `import '../entities/index.js'`,
      ...Array.from({ length: 25 }, (_, i) => `import './command-${i}.js'`),
    ].join('\n'),
    'topology/index.js': `// the one re-export that was made lazy first\n\nexport { Entity } from '../entities/base.js'`,
    'entities/base.js': `// the hub\nexport { Entity } from 'heavy-orm'`,
  }
  for (let i = 0; i < 25; i++) {
    files[`entities/table-${i}.js`] =
      `import { Entity } from './base.js'\nexport class Table${i} { static e = Entity }`
    files[`cli/command-${i}.js`] =
      `import { Table${i} } from '../entities/table-${i}.js'\nexport const c = Table${i}`
  }
  return files
}
