// Which stage of a build a process belongs to. Pure. A rule over its command line decides; a process no rule names is of
// its parent's stage (the workers of a bundler are the bundler's), and without such a parent of the stage the command
// announced last.

import { ByreError } from '../base/errors.ts'

export interface StageRule {
  readonly name: string
  readonly pattern: RegExp
}

/** What no rule, parent or marker names. */
export const NO_STAGE = 'other'

/** What tagging needs to know of a process. */
export interface TaggedProcess {
  readonly pid: number
  readonly ppid: number
  readonly command: string
}

/** Reads `name=regex`; names are one line and not empty. Throws BYRE_USAGE on another form. */
export function parseStageRule(text: string): StageRule {
  const at = text.indexOf('=')
  const name = text.slice(0, at).trim()
  if (at < 1 || name === '' || /[\p{Cc},]/u.test(name))
    throw new ByreError('BYRE_USAGE', `Cannot use --stage: it must be name=regex, got '${text}'.`)
  try {
    return { name, pattern: new RegExp(text.slice(at + 1), 'u') }
  } catch (cause) {
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --stage '${name}': its regular expression must be valid, got ${(cause as Error).message}. Escape special characters with '\\'.`,
      { cause },
    )
  }
}

/**
 * Stage by pid. `processes` has each parent before its children where both are there, as selectTree gives them;
 * the first rule that matches wins; `announced` is the stage of the last marker.
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
