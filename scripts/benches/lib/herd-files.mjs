// Writes a herd into a temporary folder: one module for each worker and the config file both hosts read.
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { workerSource } from '../herd/worker-source.mjs'

const FLOOR_URL = new URL('../herd/floor.mjs', import.meta.url).href

/**
 * `kind`: 'orm' and 'lean' workers are eager and say when they are ready; 'dormant' ones wait for a topic that never comes.
 * Stall detection is off, as for every memory figure.
 */
export function createHerdFiles({ count, kind }) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-bench-'))
  mkdirSync(join(folder, 'workers'))
  const workers = {}
  for (let i = 1; i <= count; i++) {
    const name = `w${String(i).padStart(4, '0')}`
    const module = join(folder, 'workers', `${name}.mjs`)
    writeFileSync(module, workerSource(name, kind === 'orm' ? FLOOR_URL : undefined))
    workers[name] =
      kind === 'dormant' ? { module, activation: { topics: [`wake.${name}`] } } : { module, ready: 'call' }
  }
  const config = join(folder, 'byre.config.json')
  writeFileSync(config, JSON.stringify({ name: 'bench', defaults: { stall: { detect: false } }, workers }))
  return {
    folder,
    config,
    socket: join(folder, 'bench.sock'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
