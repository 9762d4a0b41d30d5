// Assigns each process to a stage of the build. Pure. The first rule that matches its command line decides. Without a match a
// process has the stage of its parent (the workers of a bundler belong to the bundler), and without such a parent the stage
// that the command announced last.

import { ByreError } from '../base/errors.ts'

export interface StageRule {
  readonly name: string
  readonly pattern: RegExp
}

/** Stage of a process without a rule, parent stage or marker. */
export const NO_STAGE = 'other'

/** The part of a process that tagging needs. */
export interface TaggedProcess {
  readonly pid: number
  readonly ppid: number
  readonly command: string
}

/** Parses `name=regex`; a name is one non-empty line without commas. Throws BYRE_USAGE for any other text. */
export function parseStageRule(text: string): StageRule {
  const at = text.indexOf('=')
  const name = text.slice(0, at).trim()
  if (at < 1 || name === '' || /[\p{Cc},]/u.test(name))
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --stage '${text}': it must be name=regex. Example: --stage 'types=tsc'.`,
    )
  try {
    return { name, pattern: new RegExp(text.slice(at + 1), 'u') }
  } catch (cause) {
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --stage '${name}': ${(cause as Error).message}. Escape special characters with '\\'.`,
      { cause },
    )
  }
}

/**
 * Stage by pid. `processes` must list parents before their children, as selectTree does; the first rule that matches wins;
 * `announced` is the stage of the last marker.
 */
export function tagStages(
  processes: readonly TaggedProcess[],
  rules: readonly StageRule[],
  announced: string | undefined,
): ReadonlyMap<number, string> {
  const stages = new Map<number, string>()
  const named = new Set<number>()
  for (const { pid, ppid, command } of processes) {
    const rule = rules.find(({ pattern }) => pattern.test(command))
    const inherited = named.has(ppid) ? stages.get(ppid) : undefined
    if (rule !== undefined || inherited !== undefined) named.add(pid)
    stages.set(pid, rule?.name ?? inherited ?? announced ?? NO_STAGE)
  }
  return stages
}
