import { execFileSync } from 'node:child_process'
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createHerdLog, isJournalStream } from '../../src/log/herd-log.ts'
import type { HerdLog, HerdLogOptions } from '../../src/log/herd-log.ts'
import { logTransition } from '../../src/log/transition.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const built = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)

interface Line {
  readonly level: number
  readonly worker?: string
  readonly msg?: string
  readonly [field: string]: unknown
}

/** A herd log that writes to a file, and a reader of that file. */
async function fileLog(
  t: { teardown(fn: () => unknown): void },
  options: HerdLogOptions = {},
): Promise<{ log: HerdLog; lines: () => Line[]; text: () => string }> {
  const dir = mkdtempSync(join(tmpdir(), 'byre-log-'))
  const path = join(dir, 'log')
  const fd = openSync(path, 'a')
  const log = await createHerdLog({ env: {}, ...options, fd })
  t.teardown(async () => {
    await log.close()
    closeSync(fd)
    rmSync(dir, { recursive: true })
  })
  const text = (): string => readFileSync(path, 'utf8')
  const parse = (line: string): Line => JSON.parse(line) as Line
  return { log, text, lines: () => text().split('\n').filter(Boolean).map(parse) }
}

t.test('byre and each worker write tagged JSON lines', async (t) => {
  const clock = fakeClock()
  const { log, lines } = await fileLog(t, { clock })
  log.root.info({ a: 1 }, 'byre')
  log.worker('w').warn({ b: 2 }, 'worker')
  log.worker('w').child({ part: 'p' }).info('child')
  log.about('w').error('about')
  const time = clock.now()
  t.same(lines(), [
    { level: 30, time, a: 1, msg: 'byre' },
    { level: 40, time, worker: 'w', b: 2, msg: 'worker' },
    { level: 30, time, worker: 'w', part: 'p', msg: 'child' },
    { level: 50, time, worker: 'w', msg: 'about' },
  ])
  t.equal(log.worker('w'), log.worker('w'))
})

t.test('a worker’s level is separate, changes at once, and survives deactivation', async (t) => {
  const { log, lines } = await fileLog(t, { level: 'warn' })
  const logger = log.worker('w')
  const part = logger.child({ part: 1 })
  logger.info('no')
  log.setLevel('w', 'debug')
  part.debug('child yes')
  log.worker('v').info('other no')
  t.equal(log.levelOf('w'), 'debug')
  t.equal(log.levelOf('v'), 'warn')
  log.about('w').info('byre’s words follow the root')
  log.activate('w')
  log.deactivate('w')
  log.worker('w').debug('again yes')
  log.root.level = 'info'
  log.worker('v').info('root moved yes')
  log.about('w').info('root moved too')
  t.equal(lines().length, 3, 'good news may wait for the end of the turn')
  await new Promise((resolve) => process.nextTick(resolve))
  t.same(
    lines().map((line) => line.msg),
    ['child yes', 'again yes', 'root moved yes', 'root moved too'],
  )
})

t.test(
  'a transition is one line with machine-readable fields, at any worker level, never folded',
  async (t) => {
    const { log, lines } = await fileLog(t)
    log.setLevel('w', 'silent')
    const event = {
      v: 1,
      ts: 5,
      worker: 'w',
      from: 'running',
      to: 'backing-off',
      reason: 'it threw',
      delayMs: 100,
    }
    for (let i = 0; i < 20; i++) logTransition(log, event)
    logTransition(log, { ...event, to: 'quarantined' })
    logTransition(log, { ...event, to: 'running' })
    t.equal(lines().length, 21, 'bad news are written at once')
    await log.flush()
    t.equal(lines().length, 22)
    const { time: _time, ...first } = lines()[0]!
    t.same(first, {
      level: 40,
      worker: 'w',
      event: 'transition',
      from: 'running',
      to: 'backing-off',
      reason: 'it threw',
      delayMs: 100,
      msg: 'running -> backing-off: it threw',
    })
    t.same(
      lines()
        .slice(-2)
        .map((line) => line.level),
      [50, 30],
    )
  },
)

t.test('a worker cannot log under the name of another', async (t) => {
  const { log, lines } = await fileLog(t)
  log.worker('a').info({ worker: 'b', n: 1 }, 'not me')
  t.match(lines(), [{ worker: 'a', field_worker: 'b', n: 1, msg: 'not me' }])
})

t.test('repeated lines are folded per worker, level and kind, and reported with their count', async (t) => {
  const clock = fakeClock()
  const { log, lines } = await fileLog(t, { clock })
  for (let i = 0; i < 1000; i++) {
    log.worker('a').info({ i }, `delivered ${i}`)
    log.worker('b').child({ c: 1 }).info(`delivered ${i}`)
    log.root.warn('careful')
  }
  log.worker('a').warn('delivered 1')
  t.equal(lines().length, 206)
  t.equal(clock.armed, 1, 'a timer only while something is held back')
  clock.advance(10_000)
  t.equal(clock.armed, 0)
  t.same(
    lines()
      .slice(206)
      .map(({ level, worker, event, repeated, windowMs, msg }) => [
        level,
        worker,
        event,
        repeated,
        windowMs,
        msg,
      ]),
    [
      [30, 'a', 'folded', 900, 10_000, 'delivered # … repeated 900 times in 10s'],
      [30, 'b', 'folded', 900, 10_000, 'delivered # … repeated 900 times in 10s'],
      [40, undefined, 'folded', 995, 10_000, 'careful … repeated 995 times in 10s'],
    ],
  )
  t.equal(log.counts.folded, 2 * 900 + 995)
  log.setLevel('a', 'debug')
  for (let i = 0; i < 102; i++) log.worker('a').debug('fine')
  t.equal(await log.flush(), true)
  t.match(
    lines().at(-1),
    { level: 20, repeated: 2 },
    'a flush reports at once, at the level of the folded lines',
  )
})

t.test('a line of any size is cut to the limit', async (t) => {
  const { log, lines, text } = await fileLog(t)
  log.worker('w').error({ huge: 'x'.repeat(1 << 20) }, 'text')
  t.match(lines(), [
    { level: 50, worker: 'w', event: 'log-line-cut', length: Number, msg: /^Cut a log line/ },
  ])
  t.ok(text().length < 4096)
})

t.test('a final record is written before the call returns', async (t) => {
  const { log, lines } = await fileLog(t)
  log.fatalSync({ code: 'E' }, 'out of memory')
  t.match(lines(), [{ level: 60, code: 'E', msg: 'out of memory' }])
})

t.test('after close nothing is written and nothing throws', async (t) => {
  const { log, text } = await fileLog(t)
  log.root.info('in time')
  await log.close()
  log.root.info('late')
  log.worker('w').info('late')
  log.fatalSync({}, 'late')
  await log.close()
  t.equal(await log.flush(), true)
  t.equal(text().split('\n').length, 2)
  t.equal(log.counts.dropped, 2)
})

t.test('a silent herd logs nothing', async (t) => {
  const { log, text } = await fileLog(t, { level: 'silent' })
  log.root.fatal('x')
  log.worker('w').fatal('x')
  log.about('w').fatal('x')
  t.equal(text(), '')
})

t.test('by default pretty on a terminal, coloured unless NO_COLOR, JSON elsewhere', async (t) => {
  const script = `const { createHerdLog } = await import(${built('log/herd-log.js')})
    const log = await createHerdLog(); log.worker("w").info({ n: 1 }, "text"); await log.close()`
  const args = `--input-type=module -e '${script}'`
  const pty = (env: string): string =>
    execFileSync(
      '/usr/bin/env',
      ['-i', 'script', '-qec', `env ${env} ${process.execPath} ${args}`, '/dev/null'],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    ).trim()
  t.match(pty('NO_COLOR=1'), /^\d\d:\d\d:\d\d\.\d{3} INFO {2}w {2}text {2}n=1$/)
  // oxlint-disable-next-line no-control-regex -- the pattern must match colour codes
  t.match(pty('A=1'), /^\u001b\[90m\d\d:\d\d:\d\d\.\d{3}\u001b\[0m \u001b\[32mINFO /)
  const piped = await runCleanNode(['--input-type=module', '-e', script])
  t.match(JSON.parse(piped.stdout), { level: 30, worker: 'w', n: 1, msg: 'text' })
})

t.test('the journal is recognised by device and inode, not by the variable alone', async (t) => {
  const fd = openSync(fileURLToPath(import.meta.url), 'r')
  const { dev, ino } = fstatSync(fd)
  t.equal(isJournalStream(fd, `${dev}:${ino}`), true)
  for (const value of [undefined, '', `${dev}:${ino + 1}`, `${ino}:${dev}`, 'x'])
    t.equal(isJournalStream(fd, value), false)
  closeSync(fd)
  t.equal(isJournalStream(fd, `${dev}:${ino}`), false)
})

t.test('a herd without a loaded worker loads neither pino nor the modules of other formats', async (t) => {
  const script = `const { createHerdLog } = await import(${built('log/herd-log.js')})
    import { createRequire } from 'node:module'
    const builtins = new Set(process.moduleLoadList)
    const cache = () => Object.keys(createRequire(import.meta.url).cache).filter((f) => f.includes('/pino/')).length
    import { openSync } from 'node:fs'
    const log = await createHerdLog({ fd: openSync('/dev/null', 'w') })
    log.root.info('x'); log.about('w').info('y'); log.setLevel('w', 'debug'); log.activate('w')
    const before = [cache(), process.moduleLoadList.filter((m) => !builtins.has(m))]
    log.worker('w').info('z')
    console.log(JSON.stringify([...before, cache() > 0]))`
  const { stdout } = await runCleanNode(['--input-type=module', '-e', script.replace(/\n\s+/g, '\n')])
  const [before, builtins, after] = JSON.parse(stdout) as [number, string[], boolean]
  t.equal(before, 0)
  t.equal(after, true)
  t.notOk(builtins.includes('NativeModule net'), builtins.join())
})
