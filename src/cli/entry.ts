// Runs a command line and returns the exit code. The commands that units run at start (supervise, run) and the most common
// flags (--help, --version) are handled without commander, which takes 3.5 MB. Everything else goes to main.ts.

import { EXIT } from '../base/exit-codes.ts'
import { findCommand } from './flags.ts'
import { print, printError } from './io.ts'

/** Runs `byre ...argv` and returns the exit code. Never rejects: errors are printed to stderr. */
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

/** Loads the modules for hosting while the command line is parsed, which shortens the start by 20 ms. The later import
 *  reports a failure. */
function prefetchHosting(): void {
  for (const pending of [import('./commands/supervise.ts'), import('../config/resolve.ts')])
    pending.catch(() => {})
}

async function dispatch(argv: readonly string[]): Promise<number> {
  const [word, ...rest] = argv
  if (word === '--version' || word === '-V') {
    await print(`${(await import('../base/version.ts')).ownVersion()}\n`)
    return EXIT.ok
  }
  const isHelp = ['--help', '-h', 'help'].includes(word ?? '') && rest.length === 0
  if (word === undefined || isHelp) {
    const { usageText } = await import('./usage.ts')
    await (isHelp ? print(usageText()) : printError(usageText()))
    return isHelp ? EXIT.ok : EXIT.usage
  }
  if (word === 'supervise' || word === 'run') {
    // --explain does not host workers.
    if (!rest.includes('--explain')) prefetchHosting()
    const { parseLine } = await import('./parse.ts')
    const line = parseLine(findCommand(word)!, rest)
    if (line !== undefined) return (await import('./run-command.ts')).runCommand(word, line.args, line.flags)
  }
  return (await import('./main.ts')).main(argv)
}
