// The command line from its first word to an exit code. What every unit runs at start (supervise, run) and what people
// type most (--help, --version) is decided here without commander, which costs 3.5 MB; the rest goes to main.ts.

import { EXIT } from '../base/exit-codes.ts'
import { findCommand } from './flags.ts'
import { print, printError } from './io.ts'

/** Runs `byre ...argv`; the exit code. Never rejects: what was thrown is on stderr. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  try {
    return await dispatch(argv)
  } catch (error) {
    const { describeExit } = await import('./exit.ts')
    const { code, text } = describeExit(error)
    await printError(text)
    return code
  }
}

/** What hosting needs is read while the line is parsed: one after the other they cost 20 ms of start. What fails here
 *  fails again, and is told, where it is needed. */
function fetchAhead(): void {
  for (const ahead of [import('./commands/supervise.ts'), import('../config/resolve.ts')])
    ahead.catch(() => {})
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const [word, ...rest] = argv
  if (word === '--version' || word === '-V') {
    await print(`${(await import('../base/version.ts')).ownVersion()}\n`)
    return EXIT.ok
  }
  const asksForHelp = ['--help', '-h', 'help'].includes(word ?? '') && rest.length === 0
  if (word === undefined || asksForHelp) {
    const { usageText } = await import('./usage.ts')
    await (asksForHelp ? print(usageText()) : printError(usageText()))
    return asksForHelp ? EXIT.ok : EXIT.usage
  }
  if (word === 'supervise' || word === 'run') {
    // --explain hosts nothing
    if (!rest.includes('--explain')) fetchAhead()
    const { parseLine } = await import('./parse.ts')
    const line = parseLine(findCommand(word)!, rest)
    if (line !== undefined) return (await import('./run-command.ts')).runCommand(word, line.args, line.flags)
  }
  return (await import('./main.ts')).main(argv)
}
