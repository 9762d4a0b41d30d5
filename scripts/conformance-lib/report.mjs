// docs/conformance.md from the saved results and the reasons. Pure: text in, text out.
import { explain } from './reasons.mjs'
import { PLACEMENTS } from './placements.mjs'

const UNEXPLAINED = 'unexplained'

/**
 * `node`: results of Node's own tests, one for each Node version, as saved (docs/perf/conformance-node<major>.json);
 * `packages`: those of packages. `{markdown, unexplained, unused}`: `unexplained` are the failures without a reason,
 * `unused` the reasons that explain nothing.
 */
export function report({ node, packages, reasons }) {
  const failures = [...node.flatMap(nodeFailures), ...packages.flatMap(packageFailures)].map((failure) => {
    const rule = explain(reasons, failure)
    return { ...failure, rule, kind: rule?.kind ?? UNEXPLAINED, reason: rule?.reason ?? UNEXPLAINED }
  })
  const used = new Set(failures.map(({ rule }) => rule))
  const markdown = [
    HEAD,
    ...node.flatMap(nodeSection),
    ...failureSection(failures, reasons.kinds),
    ...packageSection(packages),
  ].join('\n')
  return {
    markdown: `${markdown}\n`,
    unexplained: failures.filter(({ rule }) => rule === undefined),
    unused: reasons.rules.filter((rule) => !used.has(rule)).map(({ reason }) => reason),
  }
}

const nodeFailures = ({ placements }) =>
  Object.entries(placements).flatMap(([placement, { node, failures }]) =>
    Object.entries(failures).map(([file, { evidence, verdict }]) => ({
      node,
      placement,
      file,
      evidence: evidence || verdict,
    })),
  )

const packageFailures = ({ packages }) =>
  Object.entries(packages).flatMap(([name, { node, differences }]) =>
    differences.map(({ file, test, error }) => ({
      node,
      placement: 'shared',
      file: `${name}:${file}`,
      test,
      evidence: error,
    })),
  )

function nodeSection({ placements }) {
  const ran = PLACEMENTS.filter((name) => placements[name] !== undefined)
  const [{ node, tests }] = ran.map((name) => placements[name])
  const families = [...new Set(ran.flatMap((name) => Object.keys(placements[name].families)))].sort()
  const cell = ({ passed, of } = { passed: 0, of: 0 }) =>
    of === 0 ? '' : passed === of ? `${of}` : `${passed} of ${of}`
  return [
    `### On Node ${node.slice(1)}, tests of Node ${tests}`,
    '',
    row(['', ...ran]),
    row(['---', ...ran.map(() => '---:')]),
    row(['passes hosted', ...ran.map((name) => percent(placements[name]))]),
    row(['files', ...ran.map((name) => cell(placements[name]))]),
    row(['left out', ...ran.map((name) => placements[name].dropped)]),
    ...families.map((family) =>
      row([`\`${family}\``, ...ran.map((name) => cell(placements[name].families[family]))]),
    ),
    '',
  ]
}

function failureSection(failures, kinds) {
  const lines = ['## Tests that pass plainly but not hosted', '']
  if (failures.length === 0) lines.push('Nothing.', '')
  for (const kind of [...kinds, UNEXPLAINED]) {
    const rows = failures.filter((failure) => failure.kind === kind)
    if (rows.length === 0) continue
    lines.push(
      `### ${capitalize(kind)}`,
      '',
      row(['file', 'placement', 'reason']),
      row(['---', '---', '---']),
    )
    for (const entry of mergeRows(rows)) lines.push(row(entry))
    lines.push('')
  }
  return lines
}

/** One row for a reason and the placements and Node versions, with all the files. */
function mergeRows(failures) {
  const rows = new Map()
  for (const { file, test, placement, node, reason, evidence, rule } of failures) {
    const title = test === undefined ? `\`${file}\`` : `\`${file}\`: ${escape(test)}`
    const where = `${placement} (${node.slice(1).split('.')[0]})`
    const text = rule === undefined ? `${reason}: ${escape(evidence)}` : escape(reason)
    const key = `${title}\n${text}`
    rows.set(key, { title, text, where: [...(rows.get(key)?.where ?? []), where] })
  }
  const sorted = [...rows.values()].toSorted((a, b) => (a.title < b.title ? -1 : 1))
  // Files that fail in the same places for the same reason are one row.
  const merged = new Map()
  for (const { title, text, where } of sorted) {
    const key = `${where.join(', ')}\n${text}`
    merged.set(key, [[...(merged.get(key)?.[0] ?? []), title], where.join(', '), text])
  }
  return [...merged.values()].map(([titles, where, text]) => [titles.join(', '), where, text])
}

function packageSection(packages) {
  const lines = ['## Test suites of packages', '', PACKAGES, '']
  for (const { packages: suites } of packages) {
    const [first] = Object.values(suites)
    lines.push(
      `### On Node ${first.node.slice(1)}`,
      '',
      row(['package', 'tests from', 'run by', 'pass plainly', 'pass hosted', 'only alone', '']),
      row(['---', '---', '---', '---:', '---:', '---:', '---:']),
    )
    for (const [name, suite] of Object.entries(suites)) {
      const { version, source, runner, of, passed, aloneOnly } = suite
      const counts = [of, passed, aloneOnly.length || '', percent(suite)]
      lines.push(row([`${name} ${version}`, source, runner, ...counts]))
    }
    lines.push('')
  }
  return lines
}

const row = (cells) => `| ${cells.join(' | ')} |`
const percent = ({ rate }) => `${(rate * 100).toFixed(1)} %`
const escape = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
const capitalize = (text) => text[0].toUpperCase() + text.slice(1)

const HEAD = `# Hosted equals plain, measured by third-party tests

Written by \`scripts/conformance report\`; the reasons come from scripts/conformance-lib/reasons.json.

A hosted program should behave as it does under plain Node. byre's own tests cannot decide whether it does, so this page uses
tests that were written for other purposes: those of Node itself, and those of packages that people use in workers.

## How to run it

    scripts/conformance                            # Node's own tests, all placements; an hour or two on 2 cores
    scripts/conformance --placement shared --sample 60 --verbose
    scripts/conformance packages ws express        # the suites of packages; \`--help\` lists them
    scripts/conformance report                     # writes this page from the results that \`--save\` recorded

The tests come from Debian's source packages and from npm tarballs that contain them. They are kept in
\`$XDG_CACHE_HOME/byre-conformance\` (default \`~/.cache/byre-conformance\`) and never in this repository. Setting up needs a
Debian machine with a mirror of Debian and of npm; running needs only the loopback network. \`scripts/test\` runs a sample of 60
files for each placement as its gate.

## How the rate is determined

- **Candidates** are the files of \`test/parallel\` whose names belong to the families that hosting affects, and all files of
  \`test/async-hooks\`, except those with a \`// Flags:\` line.
- **Counted** are the candidates that pass twice under plain Node of the same version within 10 s, with an empty standard input
  and pipes as output, and do not skip themselves. For \`thread\` they must also pass in a plain \`new Worker(file)\`.
- **\`process\` and \`thread\`**: the file is the \`script:\` of a separate worker. It passes when the run ends with the verdict
  \`done\`.
- **\`shared\`**: a worker loads the file in \`run()\` with fresh copies of Node's test helpers. It waits as long as the file takes
  under plain Node, then until each \`mustCall\` is satisfied and everything that the file opened is closed. Then it calls the
  file's remaining listeners for \`beforeExit\` and \`exit\`, and returns. The file passes when nothing was thrown or charged to
  the worker.
- **In every placement** a file also fails when byre warns about the worker (except for the documented cases: the file touched
  a process-wide setting, left something open, or blocked the loop), when the supervisor ends, or when a healthy neighbour in
  the shared loop misses anything: every 100 ms the neighbour uses a timer, an emitter, a request to its own server and
  sometimes a child process.
- **A failure** is repeated alone in a separate supervisor, and counts only if the file fails again. A file that then also
  fails under plain Node, or skips itself, is left out.
- Four lines of Node's test helpers are changed, because otherwise nearly every file would fail at the same line: tmpdir does
  not leave its folder, the umask is set only when it differs, a default of \`net\` is raised once and not at each load, and
  globals of newer versions of Node do not count as leaks.

Three facts make \`shared\` harder: a file that checks only at its exit has no more than its plain time; a builtin module that
the previous file has patched stays patched (therefore failures are repeated alone); and many files start a child process of
themselves, so that one cause leads to many failures.

## Node's own tests
`

const PACKAGES = `Each test file of a package runs in a separate worker in the shared loop, next to the neighbour, and the test runner (mocha
or \`node:test\`) runs inside \`run()\`. The same code runs the file twice under plain Node. With mocha, tests that fail there are
left out of the hosted run, because an uncaught error ends a run. Tests that pass in every plain run are counted. Tests with a
different result are repeated alone; "only alone" counts those that passed only then. A test passes hosted when its runner
reports that it passed. Warnings of byre about the run itself, and failures of the neighbour, are listed as \`(the run)\`.`
