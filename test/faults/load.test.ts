// Shared fate: modules that cannot be loaded or started.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runRows } from './rows.ts'
import type { Fault } from './rows.ts'

leakGuard(t)

const limited = { limit: { failures: 2, within: '5m' } } as const
const BENIGN = `import { stopped } from '../lib/go.mjs'\nexport const run = async (ctx) => stopped(ctx)\n`
/** True for the first evaluation of the module only: a failed load is retried from a fresh URL. */
const first = (name: string): string => `(globalThis['${name}'] = (globalThis['${name}'] ?? 0) + 1) === 1`

/** It is given up after two loads. */
const given = { verdict: 'launch-failed', state: 'quarantined', restarts: 1, failures: 2 } as const
/** It is given up at once: another load of the same files fails as well. */
const refused = { ...given, restarts: 0, failures: 1, stack: false } as const

const ROWS: readonly Fault[] = [
  {
    name: 'throws-once',
    law: 'a module that throws while loading is loaded again from a fresh URL',
    wake: true,
    source: `${BENIGN}\nif (${first('throws-once')}) throw new TypeError('first load')`,
    expect: {
      verdict: 'launch-failed',
      reason: /Cannot load worker 'throws-once' from .*throws-once\.mjs: TypeError: first load/,
      evidence: { type: 'TypeError', message: 'first load' },
      log: [{ event: 'exit', verdict: 'launch-failed' }],
    },
  },
  {
    name: 'throws-always',
    law: 'a module that throws at every load is quarantined at its limit',
    wake: true,
    config: limited,
    source: `throw new Error('every load')\n${BENIGN}`,
    expect: { ...given, evidence: { message: 'every load' } },
  },
  {
    name: 'throws-hostile',
    law: 'a module may throw anything while loading',
    wake: true,
    config: limited,
    source: `throw new Proxy({}, new Proxy({}, { get() { return () => { throw new Error('trap') } } }))\n${BENIGN}`,
    expect: { ...given, stack: false, evidence: { message: /trap/ } },
  },
  {
    name: 'syntax',
    law: 'a syntax error is not loaded again and names its file',
    wake: true,
    source: `export const run = (ctx => {\n`,
    expect: {
      ...refused,
      reason: /SyntaxError: .*, in .*syntax\.mjs\. Another attempt cannot succeed. .*'byre start syntax'/,
      evidence: { type: 'SyntaxError' },
    },
  },
  {
    name: 'deleted',
    law: 'a module deleted after the config was checked is missing, by name',
    wake: true,
    source: BENIGN,
    before: (herd) => rmSync(join(herd.folder, 'workers/deleted.mjs')),
    expect: {
      ...refused,
      reason: /deleted\.mjs/,
      evidence: { code: 'ERR_MODULE_NOT_FOUND' },
    },
  },
  {
    name: 'missing-dependency',
    law: 'a missing dependency is named',
    wake: true,
    source: `import 'no-such-package'\n${BENIGN}`,
    expect: { ...refused, reason: /no-such-package.*missing-dependency\.mjs/ },
  },
  {
    name: 'missing-export',
    law: 'an import of a name that does not exist is named',
    wake: true,
    source: `import { nothing } from '../lib/go.mjs'\n${BENIGN}`,
    expect: { ...refused, reason: /nothing/ },
  },
  {
    name: 'broken-dependency',
    law: 'a dependency that threw stays failed: the second load says that a new process is needed',
    wake: true,
    files: { 'lib/broken.mjs': `throw new Error('broken dependency')` },
    source: `import '../lib/broken.mjs'\n${BENIGN}`,
    expect: {
      ...given,
      stack: false,
      reason: /needs a new process/,
      evidence: { message: 'broken dependency' },
    },
  },
  {
    name: 'broken-commonjs',
    law: 'a CommonJS dependency that threw is not taken for loaded: the second load says that a new process is needed',
    wake: true,
    files: { 'lib/broken.cjs': `throw new Error('broken CommonJS')` },
    source: `import '../lib/broken.cjs'\n${BENIGN}`,
    expect: {
      ...given,
      stack: false,
      reason: /broken CommonJS\).* all its exports undefined: needs a new process/,
      evidence: { message: 'broken CommonJS' },
    },
  },
  {
    name: 'broken-for-others',
    law: 'nor does another worker run without the exports of that dependency',
    wake: true,
    source: `import '../lib/broken.cjs'\n${BENIGN}`,
    expect: { ...refused, reason: /needs a new process/, evidence: { message: 'broken CommonJS' } },
  },
  {
    name: 'no-run',
    law: 'a module without an export run is refused with what it exports instead',
    wake: true,
    source: `export const start = () => {}; export default class {}`,
    expect: { ...refused, reason: /must export a function 'run', got exports .*start/ },
  },
  {
    name: 'run-no-function',
    law: 'an export run that is no function is refused',
    wake: true,
    source: `export const run = { then: 1 }`,
    expect: { ...refused, reason: /must export a function 'run'/ },
  },
  {
    name: 'mended',
    law: 'a module mended on disk between two loads comes up',
    wake: true,
    config: { backoff: { first: '300ms' } },
    source: `${BENIGN}\nthrow new Error('not yet')`,
    before: (herd) =>
      void herd
        .line({ worker: 'mended', event: 'exit' })
        .then(() => writeFileSync(join(herd.folder, 'workers/mended.mjs'), BENIGN)),
    expect: { verdict: 'launch-failed', evidence: { message: 'not yet' } },
  },
  {
    name: 'hangs',
    law: 'a top-level await that never ends is a start time-out',
    wake: true,
    config: { ...limited, startTimeout: '150ms' },
    source: `await new Promise(() => {})\n${BENIGN}`,
    expect: { ...given, stack: false, evidence: { reason: 'start-timeout', phase: 'load', afterMs: 150 } },
  },
  {
    name: 'hangs-once',
    law: 'a top-level await that never ended is left behind by the next load',
    wake: true,
    config: { startTimeout: '150ms' },
    source: `if (${first('hangs-once')}) await new Promise(() => {})\n${BENIGN}`,
    expect: { verdict: 'launch-failed', stack: false, evidence: { reason: 'start-timeout' } },
  },
  {
    name: 'loads-late',
    law: 'a module that loads after its time-out has nothing more to say',
    wake: true,
    config: { ...limited, startTimeout: '100ms' },
    source: `await new Promise((resolve) => setTimeout(resolve, 250))\nexport const run = () => { throw new Error('heard') }`,
    expect: { ...given, stack: false, evidence: { reason: 'start-timeout' } },
  },
  {
    name: 'timer-while-loading',
    law: 'a timer that throws while its module loads is charged to it',
    wake: true,
    source: `${BENIGN}\nif (${first('timer-while-loading')}) { setTimeout(() => { throw new Error('during load') }, 1); await new Promise(() => {}) }`,
    expect: { verdict: 'threw-stray', evidence: { message: 'during load', via: 'uncaughtException' } },
  },
  {
    name: 'rejection-while-loading',
    law: 'a rejection nobody handles while a module loads is charged to it',
    wake: true,
    source: `${BENIGN}\nif (${first('rejection-while-loading')}) { void Promise.reject(new Error('loose')); await new Promise(() => {}) }`,
    expect: { verdict: 'threw-stray', evidence: { message: 'loose' } },
  },
  {
    name: 'exit-while-loading',
    law: 'process.exit while loading ends that worker only',
    wake: true,
    source: `${BENIGN}\nif (${first('exit-while-loading')}) process.exit(7)`,
    expect: { verdict: 'failed', stack: false, evidence: { code: 7 } },
  },
  {
    name: 'module-timer',
    law: 'what a module starts while it loads lives as long as the module: a restart does not end it',
    source: `
import { go, stopped } from '../lib/go.mjs'
globalThis.moduleTicks = 0
setInterval(() => globalThis.moduleTicks++, 5).unref()
let runs = 0
export async function run(ctx) {
  if (runs++ === 0) { await go(ctx); throw new Error('once') }
  await stopped(ctx)
}`,
    expect: { verdict: 'failed', evidence: { message: 'once' } },
    also: async (t, { clerk }) => {
      const ticks = async (): Promise<number> =>
        Number((await clerk.census('globalThis.moduleTicks')).answered[0]?.seen)
      const before = await ticks()
      let now = before
      for (let asked = 0; now === before && asked < 200; asked++) now = await ticks()
      t.ok(now > before, 'the timer of the module still ticks after the run ended')
    },
  },
  {
    name: 'module-env',
    law: 'what a module puts into process.env while it loads lasts as long as the module and reaches all who import it',
    files: { 'lib/dot-env.mjs': `process.env.DOT_ENV ??= 'from a file'` },
    source: `
import '../lib/dot-env.mjs'
import { go, stopped } from '../lib/go.mjs'
let runs = 0
export async function run(ctx) {
  ctx.log.info({ event: 'own', value: process.env.DOT_ENV ?? null }, 'own')
  if (runs++ === 0) { await go(ctx); throw new Error('once') }
  await stopped(ctx)
}`,
    expect: {
      verdict: 'failed',
      evidence: { message: 'once' },
      log: [{ event: 'own', value: 'from a file' }],
    },
    also: async (t, { clerk }) => {
      const { answered } = await clerk.census('process.env.DOT_ENV')
      t.same(new Set(answered.map((answer) => answer.seen)), new Set(['from a file']))
    },
  },
  {
    name: 'never-ready',
    law: `with ready: 'call' a worker that never calls ready() fails its start`,
    wake: true,
    config: { ...limited, ready: 'call', startTimeout: '150ms' },
    source: BENIGN,
    expect: {
      ...given,
      stack: false,
      reason: /ready\(\) was not called/,
      evidence: { reason: 'start-timeout', phase: 'ready', afterMs: 150 },
    },
  },
  {
    name: 'ready-late',
    law: `ready() after the time-out is too late and harmless`,
    wake: true,
    config: { ...limited, ready: 'call', startTimeout: '100ms' },
    source: `
import { wait } from '../lib/go.mjs'
export const run = async (ctx) => {
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  ctx.ready()
  await wait(1)
  ctx.ready()
}`,
    expect: { ...given, stack: false, evidence: { reason: 'start-timeout' } },
  },
  {
    name: 'ready-twice',
    law: `ready() may be called again and at any time`,
    config: { ready: 'call' },
    source: `
import { go, stopped } from '../lib/go.mjs'
export const run = async (ctx) => { ctx.ready(); ctx.ready(); await go(ctx); ctx.ready(); setTimeout(ctx.ready, 1); await stopped(ctx) }`,
    expect: {},
  },
]

void runRows(t, ROWS)
