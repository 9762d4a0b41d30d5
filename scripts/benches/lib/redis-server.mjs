// A real redis-server for one bench: a random port, its data in a folder of its own, ended by its pid.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** `args` are added to the command line, `--appendonly yes` say. */
export async function startServer(args = []) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-bench-redis-'))
  const port = await freePort()
  const base = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '']
  const child = spawn('/usr/bin/redis-server', [...base, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  await new Promise((resolve, reject) => {
    lines.on('line', (line) => line.includes('Ready to accept connections') && resolve())
    child.once('exit', () => reject(new Error('redis-server ended')))
    child.once('error', reject)
  })
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  probe.close()
  await once(probe, 'close')
  return port
}
