// scripts/conformance report: reads what was saved and writes docs/conformance.md.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseReasons } from './reasons.mjs'
import { report } from './report.mjs'

const REASONS = fileURLToPath(new URL('reasons.json', import.meta.url))

/** Answers whether every failure has a reason. */
export function reportCommand(_options, { root, note }) {
  const { markdown, unexplained, unused } = report({
    node: readSaved(root, /^conformance-node(\d+)\.json$/),
    packages: readSaved(root, /^conformance-packages-node(\d+)\.json$/),
    reasons: parseReasons(readFileSync(REASONS, 'utf8')),
  })
  const path = join(root, 'docs/conformance.md')
  writeFileSync(path, markdown)
  note(`wrote ${path}`)
  for (const reason of unused) note(`explains nothing any more: ${reason}`)
  if (unexplained.length > 0) note(`${unexplained.length} failures have no reason in ${REASONS}`)
  return unexplained.length === 0
}

/** The results of each Node version, the older first. */
function readSaved(root, pattern) {
  const folder = join(root, 'docs/perf')
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .toSorted((a, b) => Number(pattern.exec(a)[1]) - Number(pattern.exec(b)[1]))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
}
