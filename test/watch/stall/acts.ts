// The ways to block the loop that the stall watch must attribute: each is the code of one worker, in a separate module.

export interface Act {
  readonly kind: 'javascript' | 'native'
  /** Source of `block`, called when the worker is triggered; blocks the loop for 2.5 to 4 s. Its first line is line 4. */
  readonly block: string
  /** What the log line must name in addition to the worker. */
  readonly function?: RegExp
  readonly file?: RegExp
  /** Runs before the block, so that its time does not count. */
  readonly prepare?: string
  /** stall.after of a worker that does not block for long. @default '1s' */
  readonly after?: string
}

const FAST_JSON = Number(process.versions.node.split('.')[0]) >= 24
const UNTIL = 'const end = Date.now() + 3000; '

export const ACTS: Readonly<Record<string, Act>> = {
  'hot-loop': {
    kind: 'javascript',
    block: `function spin() { ${UNTIL}while (Date.now() < end); }\nexport const block = () => spin()`,
    function: /^spin$/,
  },
  regex: {
    kind: 'javascript',
    block: `export const block = () => { ${UNTIL}while (Date.now() < end) /^(a+)+$/.test('a'.repeat(26) + 'b') }`,
    function: /^block$/,
  },
  sort: {
    kind: 'javascript',
    block: `export const block = () => { ${UNTIL}while (Date.now() < end) Array.from({ length: 2e6 }, Math.random).sort((x, y) => x - y) }`,
    function: /^(block|\(anonymous\))$/,
  },
  'microtask-chain': {
    kind: 'javascript',
    block: `export const block = async () => { ${UNTIL}while (Date.now() < end) await null }`,
    function: /^block$/,
  },
  'node-modules': {
    kind: 'javascript',
    block: `import { grind } from 'grinder'\nexport const block = () => grind(3000)`,
    function: /^grind$/,
    file: /node_modules\/grinder\/index\.mjs$/,
  },
  'shared-timer': {
    kind: 'javascript',
    block: `import { later } from '../lib/ticker.mjs'\nfunction onTick() { ${UNTIL}while (Date.now() < end); }\nexport const block = () => later(onTick)`,
    function: /^onTick$/,
  },
  'json-parse': {
    kind: 'native',
    after: '300ms', // 200 MB take about a second; on Node 24 and later, three times as fast, 500 MB do
    prepare: `const text = '[' + '0.12345678901234567,'.repeat(${FAST_JSON ? 2.5e7 : 1e7}) + '1]'`,
    block: `export const block = () => { JSON.parse(text) }`,
  },
  crypto: {
    kind: 'native',
    block: `import { pbkdf2Sync } from 'node:crypto'\nexport const block = () => { pbkdf2Sync('a', 'b', 4e6, 64, 'sha1') }`,
    function: /^block$/,
  },
  fs: {
    kind: 'native',
    block: `import { readFileSync } from 'node:fs'\nexport const block = () => { readFileSync(process.env.STALL_FIFO) }`,
    function: /^block$/,
  },
  exec: {
    kind: 'native',
    block: `import { execSync } from 'node:child_process'\nexport const block = () => { execSync('sleep 2.5') }`,
    function: /^block$/,
  },
}

/** Siblings' and libraries' files, relative to the folder of the herd. */
export const FILES: Readonly<Record<string, string>> = {
  'node_modules/grinder/package.json':
    '{"name":"grinder","version":"1.0.0","type":"module","exports":"./index.mjs"}',
  'node_modules/grinder/index.mjs':
    'export function grind(ms) {\n  const end = Date.now() + ms\n  while (Date.now() < end);\n}\n',
  // Its timer belongs to the worker that loaded it first: the sibling.
  'lib/ticker.mjs':
    'const waiting = []\nsetInterval(() => { for (const fn of waiting.splice(0)) fn() }, 20).unref()\nexport const later = (fn) => waiting.push(fn)\n',
}

/** A worker that blocks when it receives a message on `go.<name>`, and logs when its block begins and ends. */
export const blocker = ({ block, prepare = '' }: Act): string => `${prepare}
${block}
export async function run(ctx) {
  for await (const _ of ctx.bus.subscribe('go.' + ctx.name, { signal: ctx.signal })) {
    ctx.log.info({ event: 'block', at: Date.now() }, 'block')
    await new Promise((resolve) => setTimeout(resolve, 5))
    await block()
    ctx.log.info({ event: 'unblock', at: Date.now() }, 'unblock')
  }
}
`

/** Two siblings: one owns the shared timer and triggers the others; one only ticks. */
export const SIBLINGS: Readonly<Record<string, string>> = {
  clerk: `
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import '../lib/ticker.mjs'
export async function run(ctx) {
  const server = createServer((socket) => socket.on('data', (data) => {
    for (const topic of String(data).trim().split('\\n')) void ctx.bus.publish(topic, null)
    socket.end()
  }))
  rmSync(ctx.config.socket, { force: true })
  await new Promise((resolve) => server.listen(ctx.config.socket, resolve))
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  server.close()
}
`,
  ticker: `
export async function run(ctx) {
  ctx.every(50, () => {}, { jitter: 0 })
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}
`,
}
