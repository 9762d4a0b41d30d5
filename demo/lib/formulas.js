// The heavy import of the `reports` group: a full mathematics library, for formulas that users may write themselves.

import { all, create } from 'mathjs'

/** @type {import('mathjs').MathJsInstance} */
export const math = create(/** @type {any} */ (all))

const { parse } = math

// What a formula must not reach (the library's own advice on untrusted expressions); `parse` above is ours.
const refused = () => {
  throw new Error('not available in a formula')
}
math.import(
  Object.fromEntries(
    [
      'import',
      'createUnit',
      'reviver',
      'evaluate',
      'parse',
      'compile',
      'parser',
      'simplify',
      'derivative',
      'resolve',
    ].map((name) => [name, refused]),
  ),
  { override: true },
)

/**
 * Evaluates a user's formula over named values.
 * @param {string} formula
 * @param {Record<string, unknown>} values
 */
export function evaluate(formula, values) {
  return parse(formula)
    .compile()
    .evaluate(new Map(Object.entries(values)))
}
