// Runs one test file of a package under plain Node: argv[2] is the config that a hosted suite.mjs would get.
import { run } from './suite.mjs'

await run({ config: JSON.parse(process.argv[2]) })
// What the tests left open keeps this process alive.
process.exit(0)
