// The heavy import of group `reports`: a complete mathematics library, for formulas written by users.

import { all, create } from 'mathjs'

/** @type {import('mathjs').MathJsInstance} */
export const math = create(/** @type {any} */ (all))

const { parse } = math

// Functions that a formula must not call, as the library recommends for untrusted expressions. This file keeps `parse` for
// its own use.
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
 * Evaluates a user's formula with named values.
 * @param {string} formula
 * @param {Record<string, unknown>} values
 */
export function evaluate(formula, values) {
  return parse(formula)
    .compile()
    .evaluate(new Map(Object.entries(values)))
}
