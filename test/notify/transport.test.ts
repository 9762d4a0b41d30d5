// The perl wrapper and the transport against a real datagram socket.
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import t from 'tap'
import { cleanNode, startCleanNode } from '../helpers/clean-node.ts'
import { nextEvent, readLines } from '../helpers/events.ts'
import type { Lines } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { PROJECT_ROOT } from '../helpers/systemd.ts'

leakGuard(t)

const WRAPPER = `${PROJECT_ROOT}/units/byre-notify.pl`
const FIXTURE = `${PROJECT_ROOT}/test/fixtures/notify/notify.mjs`
interface Tests {
  teardown(fn: () => unknown): void
}

function folder(t: Tests): string {
  const dir = mkdtempSync(join(tmpdir(), 'byre-notify-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  return dir
}

async function receiver(
  t: Tests,
  address: string,
  hold = false,
): Promise<{ child: ChildProcess; lines: Lines }> {
  const child = spawn(
    '/usr/bin/perl',
    [`${PROJECT_ROOT}/test/fixtures/notify/receiver.pl`, address, ...(hold ? ['1'] : [])],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  const lines = readLines(child.stdout!)
  t.teardown(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await nextEvent(child, 'exit')
  })
  await lines.next('bound')
  return { child, lines }
}

interface Kit {
  readonly pid: number
  readonly logged: Lines
  readonly first: { readonly kind: string; readonly env: string[] }
  readonly step: (code: string) => Promise<unknown>
}

async function notifier(t: Tests, env: Record<string, string>, prefix: string[]): Promise<Kit> {
  const node = startCleanNode([FIXTURE], { env, prefix, stdio: ['pipe', 'pipe', 'pipe'] })
  t.teardown(() => node.kill())
  const first = JSON.parse(await node.stdout.next()) as Kit['first']
  return {
    pid: node.pid,
    logged: node.stderr,
    first,
    async step(code) {
      node.child.stdin!.write(`${code}\n`)
      return JSON.parse(await node.stdout.next()) as unknown
    },
  }
}

for (const [title, address] of [
  ['a path', (dir: string) => join(dir, 'notify')],
  ['an abstract socket', () => `@byre-test-${process.pid}`],
] as const) {
  t.test(`messages go through the wrapper's descriptor, ${title}`, async (t) => {
    const where = address(folder(t))
    const { lines } = await receiver(t, where)
    const { first, step, logged, pid } = await notifier(t, { NOTIFY_SOCKET: where }, [
      '/usr/bin/perl',
      WRAPPER,
    ])
    t.same(first, { kind: 'fd', env: [] }, 'workers do not inherit the descriptor or the socket')
    t.match(readlinkSync(`/proc/${pid}/exe`), /node/, 'the wrapper executed node with the same pid')
    await step(`notify.send({ ready: true, status: 'up\\nMAINPID=1' })`)
    t.equal(await lines.next(), 'READY=1|STATUS=up MAINPID=1')
    await step(`notify.send({ reloading: true })`)
    t.match(await lines.next(), /^RELOADING=1\|MONOTONIC_USEC=\d{6,}$/)
    t.equal(await step(`notify.send({}); notify.send({ watchdog: true }); return notify.flush(0)`), true)
    t.equal(await lines.next(), 'WATCHDOG=1', 'an empty state is not sent')
    t.same(logged.all, [])
  })
}

t.test(
  'a service manager that does not read holds nothing up: messages are merged and sent later',
  async (t) => {
    const where = join(folder(t), 'notify')
    const { child, lines } = await receiver(t, where, true)
    const { step } = await notifier(t, { NOTIFY_SOCKET: where }, ['/usr/bin/perl', WRAPPER])
    // more than net.unix.max_dgram_qlen of any kernel
    const ms = (await step(
      `const before = process.cpuUsage(); for (let i = 0; i < 20000; i++) notify.send({ status: 'n' + i, watchdog: true }); notify.send({ ready: true }); const { user, system } = process.cpuUsage(before); return (user + system) / 1000`,
    )) as number
    t.ok(ms < 2000, `${ms} ms of CPU for 20001 messages`)
    t.equal(await step('return notify.flush(100)'), false)
    child.stdin!.write('go\n')
    t.equal(await step('return notify.flush(5000)'), true)
    t.equal(
      await lines.next('READY'),
      'READY=1|STATUS=n19999|WATCHDOG=1',
      'one message, the newest of each kind',
    )
    t.equal(await step('return notify.kind'), 'fd')
  },
)

t.test(
  'the receiver is gone: one line, then systemd-notify; that fails: one line, then nothing',
  async (t) => {
    const where = join(folder(t), 'notify')
    const { child } = await receiver(t, where)
    const { step, logged } = await notifier(t, { NOTIFY_SOCKET: where }, ['/usr/bin/perl', WRAPPER])
    child.kill('SIGKILL')
    await nextEvent(child, 'exit')
    await step(`notify.send({ ready: true }); return notify.flush(5000)`)
    t.equal(await step('return notify.kind'), 'none')
    await step(`for (let i = 0; i < 100; i++) notify.send({ watchdog: true }); return notify.flush(100)`)
    t.match(
      logged.all.map((line) => JSON.parse(line) as object),
      [
        { level: 40, event: 'notify-degraded', from: 'fd', to: 'command', reason: /ECONNREFUSED/ },
        { level: 40, event: 'notify-degraded', from: 'command', to: 'none' },
      ],
    )
    t.equal(logged.all.length, 2)
  },
)

t.test('without the wrapper each message is a systemd-notify, merged while one runs', async (t) => {
  const where = join(folder(t), 'notify')
  const { lines } = await receiver(t, where)
  const { first, step, logged } = await notifier(t, { NOTIFY_SOCKET: where }, [])
  t.same(first, { kind: 'command', env: [] })
  await step(
    `notify.send({ ready: true }); for (let i = 0; i < 100; i++) notify.send({ status: 'n' + i }); return notify.flush(5000)`,
  )
  t.equal(await lines.next('READY'), 'READY=1')
  t.equal(await lines.next('STATUS'), 'STATUS=n99') // between them the BARRIER=1 of systemd-notify itself
  t.match(JSON.parse(await logged.next()), { event: 'notify-degraded', to: 'command' })
  t.equal(logged.all.length, 1)
})

t.test('a descriptor that is not a socket is not written to', async (t) => {
  const where = join(folder(t), 'notify')
  for (const fd of ['1', '99', '-1', 'x', '']) {
    const { first } = await notifier(t, { NOTIFY_SOCKET: where, SD_NOTIFY_FD: fd }, [
      'sh',
      '-c',
      'exec "$@" | cat',
      'sh',
    ])
    t.equal(first.kind, 'command', `SD_NOTIFY_FD=${fd}`)
  }
})

t.test('without a service manager nothing is sent and nothing is logged', async (t) => {
  const { first, step, logged } = await notifier(t, {}, ['/usr/bin/perl', WRAPPER])
  t.same(first, { kind: 'none', env: [] })
  t.equal(await step('notify.send({ ready: true }); return notify.flush(100)'), true)
  t.same(logged.all, [])
})

t.test('the wrapper runs its command whatever the socket is, and reports what failed', async (t) => {
  for (const [address, said] of [
    ['/nonexistent/notify', /cannot connect/],
    ['vsock:2:1', /^$/],
    ['@', /cannot connect|^$/],
  ] as const) {
    const child = cleanNode(['-p', 'String(process.env.SD_NOTIFY_FD)'], {
      env: { NOTIFY_SOCKET: address, SD_NOTIFY_FD: '5' },
      prefix: ['/usr/bin/perl', WRAPPER],
    })
    const [out, err] = [readLines(child.stdout!), readLines(child.stderr!)]
    t.equal((await out.end()).join(), 'undefined', address)
    t.match((await err.end()).join(), said)
  }
  const child = cleanNode([], { node: '/nonexistent/command', prefix: ['/usr/bin/perl', WRAPPER] })
  const err = readLines(child.stderr!)
  child.stdout!.resume()
  t.same(await nextEvent(child, 'close'), [127, null])
  t.match((await err.end()).join(), /cannot run \/nonexistent\/command/)
})
