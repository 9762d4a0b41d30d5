// The command line of `supervise` and `run`, on the way every unit takes at start: node:util, no commander. It only
// knows right command lines; for anything else it gives way to commander, which says what is wrong.

import { parseArgs } from 'node:util'
import type { CommandSpec, Flag, FlagValues } from './flags.ts'
import { toFlagValues } from './flags.ts'

export interface ParsedLine {
  readonly flags: FlagValues
  readonly args: readonly string[]
}

/** Flags and arguments of `argv` (without the command's name), or undefined when anything about it is not as `spec` says. */
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
    // Of a flag that is given twice the last one counts, but each must be right.
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
