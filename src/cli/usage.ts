// The text of `byre --help`, without commander.

import { COMMANDS } from './flags.ts'

/** Lists all commands, one per line. */
export function usageText(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length))
  return `Usage: byre <command> [options]

Hosts a fleet of mostly idle Node.js workers in one process.

Commands:
${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}

Options:
  -h, --help     show this text, or the help of a command: byre <command> --help
  -V, --version  show the version

Example:
  byre supervise --config byre.config.js
`
}
