// Why something passes plainly and not hosted: reasons.json is written by hand. Pure.
//
// {"version": 1, "kinds": [{"kind": "...", "reasons": [{"files": [...], "reason": "one sentence."}]}]}
// A reason may have `placements` and `evidence`, a regular expression; without them it fits every placement and evidence.
// In `files` a `*` stands for anything. A file of a package is `<package>:<file>`, and `tests` may name tests of it.

/** Checks the file's shape; throws an Error that says what to change. */
export function parseReasons(text) {
  const { kinds } = JSON.parse(text)
  const rules = kinds.flatMap(({ kind, reasons }) => reasons.map((reason) => toRule(kind, reason)))
  return { kinds: kinds.map(({ kind }) => kind), rules }
}

function toRule(kind, { files, tests = ['*'], placements, evidence, reason, ...unknown }) {
  const problem = !(files?.length > 0)
    ? 'needs files'
    : !/^[^\n]+\.$/.test(reason ?? '')
      ? 'needs a reason that is one sentence'
      : Object.keys(unknown).map((key) => `has an unknown key '${key}'`)[0]
  if (problem !== undefined)
    throw new Error(
      `Cannot use reasons.json: an entry of '${kind}' ${problem}: ${JSON.stringify({ files, reason })}`,
    )
  return {
    kind,
    reason,
    placements,
    files: files.map(toPattern),
    tests: tests.map(toPattern),
    evidence: new RegExp(evidence ?? ''),
  }
}

const toPattern = (text) =>
  new RegExp(`^${text.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`)

/** The first rule that fits a failure `{file, placement, evidence, test?}`; undefined: unexplained. */
export function explain({ rules }, { file, placement, evidence, test = '' }) {
  return rules.find(
    (rule) =>
      (rule.placements === undefined || rule.placements.includes(placement)) &&
      rule.files.some((pattern) => pattern.test(file)) &&
      rule.tests.some((pattern) => pattern.test(test)) &&
      rule.evidence.test(evidence),
  )
}
