// The test files of the repository: test/**/*.test.ts, named by source path relative to the root.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'

const SUFFIX = '.test.ts'

/** Test files below a folder, absolute and sorted. */
function testsBelow(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((path) => path.endsWith(SUFFIX))
    .map((path) => join(folder, path))
    .toSorted()
}

/** The tests that `words` name: files or folders relative to the current folder; all tests without words. Throws for a
 *  path that does not exist or has no test. */
export function findTests(root, words) {
  const all = testsBelow(join(root, 'test'))
  const found = words.length === 0 ? all : words.flatMap((word) => testsOf(word, all))
  return [...new Set(found)].map((path) => relative(root, path))
}

function testsOf(word, all) {
  const path = resolve(word)
  if (!existsSync(path)) throw new Error(`'${word}' does not exist.${suggestion(path, all)}`)
  const found = all.filter((test) => test === path || test.startsWith(`${path}/`))
  if (found.length === 0)
    throw new Error(
      statSync(path).isDirectory()
        ? `no test in '${word}'. Tests are the files test/**/*${SUFFIX}.`
        : `'${word}' is no test. Tests are the files test/**/*${SUFFIX}.${suggestion(path, all)}`,
    )
  return found
}

/** Tests of the same name in another folder, or of the source file that was named. */
function suggestion(path, all) {
  const name = basename(path).replace(/(\.test)?\.[jt]s$/, '')
  const same = all
    .filter((test) => basename(test, SUFFIX) === name)
    .map((test) => relative(process.cwd(), test))
  return same.length === 0 ? '' : ` Did you mean ${same.join(' or ')}?`
}

/** Where the compiler puts a test. */
export const compiledPath = (file) => join('build', file.replace(/\.ts$/, '.js'))
