// `byre --help`, without commander.

import { COMMANDS } from './flags.ts'

/** The commands there are, one line each. */
export function usageText(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length))
  return `Usage: byre <command> [options]

Hosts a fleet of mostly idle Node.js workers in one process.

Commands:
${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}

Options:
  -h, --help     this text; byre <command> --help for one command
  -V, --version  the version

Example:
  byre supervise --config byre.config.js
`
}
