// The executable that units/byre starts.
import { runCommandLine } from './cli/entry.ts'

const code = await runCommandLine(process.argv.slice(2))
// Setting process.exitCode is not enough: an evaluated config may have left a connection or a timer open.
process.exit(code)
