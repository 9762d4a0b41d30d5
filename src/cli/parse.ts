// Parses the command line of `supervise` and `run` with node:util, since units run these commands at start and commander is
// large. It accepts only valid command lines; commander parses all others and reports the error.

import { parseArgs } from 'node:util'
import type { CommandSpec, Flag, FlagValues } from './flags.ts'
import { toFlagValues } from './flags.ts'

export interface ParsedLine {
  readonly flags: FlagValues
  readonly args: readonly string[]
}

/** Returns the flags and arguments of `argv` (without the command name), or undefined when `argv` does not match `spec`. */
export function parseLine(spec: CommandSpec, argv: readonly string[]): ParsedLine | undefined {
  const options = Object.fromEntries(
    spec.flags.map((flag) => [
      flag.name,
      { type: flag.value === undefined ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  try {
    const { values, positionals, tokens } = parseArgs({
      args: [...argv],
      options,
      allowPositionals: true,
      strict: true,
      tokens: true,
    })
    if (positionals.length !== spec.arguments.length) return undefined
    const raw = values as Record<string, string | boolean | undefined>
    // The last value of a repeated flag is used, but all its values must be valid.
    const flagsFit =
      spec.flags.every((flag) => fits(raw[flag.name], flag)) &&
      tokens.every(
        (token) =>
          token.kind !== 'option' ||
          spec.flags.every((flag) => flag.name !== token.name || fits(token.value, flag)),
      )
    const argsFit = spec.arguments.every((argument, i) => fits(positionals[i], argument))
    return flagsFit && argsFit ? { flags: toFlagValues(spec, raw), args: positionals } : undefined
  } catch {
    return undefined
  }
}

function fits(value: string | boolean | undefined, rule: Pick<Flag, 'choices' | 'required'>): boolean {
  if (value === undefined) return rule.required !== true
  if (value === '') return false
  return rule.choices === undefined || rule.choices.includes(String(value))
}
