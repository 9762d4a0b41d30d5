// stdout and stderr of a process are pipes: they can be opened again by path, and they end with their last writer.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Logger } from '../../src/log/logger.ts'
import { createOutputPipes } from '../../src/placement/output-pipes.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const folder = mkdtempSync(join(tmpdir(), 'byre-pipes-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const logged: object[] = []
const log = { info: (fields: object) => void logged.push(fields) } as unknown as Logger

t.test(
  'output written by descriptor and by path arrives, and the pipe ends after its last writer',
  async (t) => {
    const pipes = createOutputPipes(folder, log)()
    if (pipes === undefined) throw new Error('no pipes')
    t.same(readdirSync(folder), [], 'no name is left')
    // The background process keeps both open until it has read a line.
    const script = `echo one; echo two > /dev/stdout; echo three > /dev/stderr; (read -r _ <&3; echo last) &`
    const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', ...pipes.childFds, 'pipe'] })
    pipes.closeChildFds()
    const [out, err] = [text(pipes.stdout), text(pipes.stderr)]
    t.same(await once(child, 'exit'), [0, null])
    t.notOk(pipes.stdout.closed, 'a process started by the child may still write')
    ;(child.stdio[3] as Writable).end('go\n')
    t.equal(await out, 'one\ntwo\nlast\n')
    t.equal(await err, 'three\n')
  },
)

t.test('without mkfifo there are no pipes, and that is logged once', async (t) => {
  const { PATH } = process.env
  process.env['PATH'] = folder
  t.teardown(() => (process.env['PATH'] = PATH))
  const open = createOutputPipes(folder, log)
  t.equal(open(), undefined)
  t.equal(open(), undefined)
  t.match(logged, [{ event: 'no-output-pipes', why: /ENOENT/ }])
  t.equal(logged.length, 1)
})

t.test('without the folder there are no pipes', async (t) => {
  t.equal(createOutputPipes(join(folder, 'nope'), log)(), undefined)
  t.match(logged.at(-1), { event: 'no-output-pipes', why: /mkfifo ended with code 1/ })
})
