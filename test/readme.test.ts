// What the README says is true: its examples run and compile, its tables are the program's, its links lead somewhere.
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { EXIT } from '../src/base/exit-codes.ts'
import { runCleanNode, startCleanNode } from './helpers/clean-node.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const BIN = join(ROOT, 'dist', 'bin.js')

interface Fence {
  readonly language: string
  readonly file: string | undefined
  readonly text: string
}
const fences: Fence[] = [...README.matchAll(/^```(\w+)(?: file=(\S+))?\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', file, text = '']) => ({ language, file, text }),
)
const commands = fences
  .filter(({ language }) => language === 'sh')
  .flatMap(({ text }) => text.trim().split('\n'))
/** The cells of the table whose first head cell is `head`. */
const table = (head: string): string[][] =>
  (new RegExp(`^\\| ${head} \\|.*\\n\\|[-| ]+\\n((?:\\|.*\\n)+)`, 'm').exec(README)?.[1] ?? '')
    .trim()
    .split('\n')
    .map((row) => row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').trim()))

t.test('the commands of a checkout can be run', (t) => {
  const scripts = commands
    .map((line) => line.split(' ')[0]!)
    .filter((command) => command.startsWith('scripts/'))
  t.same(scripts, ['scripts/demo', 'scripts/test'])
  for (const script of scripts) accessSync(join(ROOT, script), constants.X_OK)
  t.end()
})

t.test('the example workers and config type-check, and the herd they make does what they say', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'byre-readme-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const { file, text } of fences) {
    if (file === undefined) continue
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(ROOT, join(folder, 'node_modules', 'byre'))
  symlinkSync(join(ROOT, 'node_modules', '@types'), join(folder, 'node_modules', '@types'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const compilerOptions = {
    target: 'es2023',
    module: 'nodenext',
    types: ['node'],
    strict: true,
    skipLibCheck: true,
    allowJs: true,
    checkJs: true,
    rootDir: '.',
    outDir: 'dist',
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, exclude: ['dist'] }))
  const tsc = await runCleanNode([join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder])
  t.equal(tsc.stdout + tsc.stderr, '')

  const env = { XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder }
  const config = join(folder, 'dist', 'byre.config.js')
  const herd = startCleanNode([BIN, 'supervise', '--config', config, '--log-format', 'json'], { env })
  t.teardown(() => herd.kill())
  await herd.stdout.next('Welcome, Ada')
  const status = await runCleanNode([BIN, 'status', '--json', '--config', config], { env })
  t.equal(status.code, EXIT.ok, status.stderr)
  t.match(status.stdout, /"greeter"/)
  herd.child.kill('SIGTERM')
  t.same(await herd.exit, { code: EXIT.ok, signal: null })
})

t.test('the table of commands has those of byre --help, each with its own --help', async (t) => {
  const help = await runCleanNode([BIN, '--help'])
  const known = [...help.stdout.matchAll(/^ {2}([a-z][a-z-]*) {2,}\S/gm)].map(([, name]) => name)
  t.same(
    table('command').map(([command]) => command),
    known.map((name) => `\`byre ${name}\``),
  )
})

t.test('every example on the command line uses options its command has', async (t) => {
  const lines = commands.filter((line) => /^(npx )?byre /.test(line)).map((line) => line.replace(/^npx /, ''))
  t.ok(lines.length > 5)
  for (const line of lines) {
    const [, command = '', ...rest] = line.split(' ')
    const help = await runCleanNode([BIN, command, '--help'])
    t.equal(help.code, EXIT.ok, line)
    for (const option of rest.filter((word) => word.startsWith('--')))
      t.ok(help.stdout.includes(` ${option}`), line)
  }
})

t.test('the table of exit codes is the table of the program', (t) => {
  t.same(
    table('code').map(([code]) => code),
    [...Object.values(EXIT).map(String), '128+n'],
  )
  t.end()
})

t.test('every link leads to a file of the package', async (t) => {
  const pack = [join(dirname(process.execPath), 'npm'), 'pack', '--dry-run', '--json', '--ignore-scripts']
  const { stdout } = await runCleanNode(pack, { cwd: ROOT })
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
  const packed = new Set(files.map(({ path }) => path))
  const links = [...README.matchAll(/\]\(([^)#]+)\)/g)].map(([, link = '']) => link)
  t.ok(links.length > 5)
  for (const link of links) t.ok(packed.has(link), link)
})

t.test('every file that the architecture page names exists', (t) => {
  const page = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8')
  const files = [...page.matchAll(/`((?:[a-z]+\/)+[a-z0-9-]+\.ts|[a-z]+\.ts)`/g)].map(([, file = '']) => file)
  t.ok(files.length > 40)
  for (const file of files) t.ok(existsSync(join(ROOT, 'src', file)) || existsSync(join(ROOT, file)), file)
  t.end()
})
