// Runs a benchmark: `node scripts/bench.mjs NAME [--runs N] [--settle 10s] [--duration 10m] [--node PATH] [--json] [--save] [--check]`.
// Each benchmark in scripts/benches/ exports `describe`, `run(options)`, which returns the result, and `table(result)`, which
// returns lines of text.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PARTS = join(ROOT, 'scripts/benches')
const USAGE = `Usage: scripts/bench NAME [options]
  --runs N       number of interleaved runs per lane (default 5)
  --settle TIME  time between ready and the memory reading (default 10s)
  --duration T   duration of the chaos benchmark (default 10m)
  --node PATH    node executable to measure (default: the running one)
  --json         print only the result as JSON
  --save         write docs/perf/NAME-node<major>.json
  --check        exit 3 when a claim does not hold
`
const EXIT = { ok: 0, failed: 1, usage: 2, broken: 3 }

async function main(argv) {
  if (!existsSync(join(ROOT, 'build/src/measure/stats.js'))) {
    process.stderr.write(
      'Cannot run the benchmark: dist/ is missing. Run `npm install && npm run build` first.\n',
    )
    return EXIT.failed
  }
  const names = readdirSync(PARTS)
    .filter((file) => file.endsWith('.mjs'))
    .map((file) => file.slice(0, -4))
  const { parseCommandLine } = await import('./benches/lib/options.mjs')
  let command
  try {
    command = parseCommandLine(argv, names)
  } catch (error) {
    process.stderr.write(`${error.message}\n${USAGE}`)
    return EXIT.usage
  }
  if (command.help) return help(names)
  return bench(command)
}

async function help(names) {
  process.stdout.write(`${USAGE}\n`)
  for (const name of names) {
    const { describe } = await import(`./benches/${name}.mjs`)
    process.stdout.write(`  ${name.padEnd(10)} ${describe ?? ''}\n`)
  }
  return EXIT.ok
}

async function bench({ name, options }) {
  const part = await import(`./benches/${name}.mjs`)
  const note = (text) => void process.stderr.write(`${name} on ${options.nodeVersion}: ${text}\n`)
  const { load } = await import('./benches/lib/result.mjs')
  const result = await part.run({ ...options, note, loadAtStart: load() })
  if (!options.json) process.stdout.write(`${part.table(result).join('\n')}\n`)
  process.stdout.write(`${JSON.stringify(result)}\n`)
  if (options.save) save(name, options.nodeVersion, result)
  const broken = (result.claims ?? []).some((claim) => !claim.holds)
  return options.check && broken ? EXIT.broken : EXIT.ok
}

function save(name, version, result) {
  const folder = join(ROOT, 'docs/perf')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name}-node${/^v(\d+)/.exec(version)[1]}.json`)
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
  process.stderr.write(`wrote ${file}\n`)
}

process.exitCode = await main(process.argv.slice(2))
