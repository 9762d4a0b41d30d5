// `byre`, as units/byre starts it.
import { runCommandLine } from './cli/entry.ts'

const code = await runCommandLine(process.argv.slice(2))
// Not process.exitCode alone: a config evaluated on the way may have left a connection or a timer open.
process.exit(code)
