// Helpers of the config tests: a folder with worker files, and the smallest valid herd.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Problem } from '../../src/base/errors.ts'
import { resolveHerd } from '../../src/config/resolve.ts'
import type { ResolvedHerd } from '../../src/config/types.ts'

const folders: string[] = []
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Creates a folder with workers/a.js, workers/b.mjs and data/. It is removed when the process ends. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'byre-config-'))
  folders.push(folder)
  mkdirSync(join(folder, 'workers'))
  mkdirSync(join(folder, 'data'))
  for (const file of ['workers/a.js', 'workers/b.mjs'])
    writeFileSync(join(folder, file), 'export const run = async () => {}\n')
  return folder
}

export const folder = makeFolder()
export const file = join(folder, 'byre.config.js')

/** A config with one module worker `w`, with `keys`. */
export function one(keys: object = {}, top: object = {}): unknown {
  return { name: 'shop', workers: { w: { module: './workers/a.js', ...keys } }, ...top }
}

export async function problemsOf(raw: unknown): Promise<readonly Problem[]> {
  const result = await resolveHerd(raw, { file })
  return result.ok ? [] : result.problems
}

export async function herdOf(raw: unknown): Promise<ResolvedHerd> {
  const result = await resolveHerd(raw, { file })
  if (!result.ok) throw new Error(JSON.stringify(result.problems, null, 1))
  return result.herd
}
