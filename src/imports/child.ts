// Main module of the child that reads imports: it reads one request, writes one answer and ends. It evaluates no file.

import { readFileSync, writeFileSync } from 'node:fs'
import { describeThrown } from '../base/errors.ts'
import { ImportsCache } from './cache.ts'
import { printOf } from './files.ts'
import { ownPackages, packageFolderOf } from './own-packages.ts'
import { openParser } from './parse.ts'
import type { ParseImports } from './parse.ts'
import type { ImportsAnswer, ImportsRequest } from './protocol.ts'
import { reachedFrom } from './reach.ts'
import { createResolver, fileAt } from './resolve.ts'
import { sourcesOf } from './source-map.ts'
import { packTable, reachTable } from './table.ts'
import { isInPackage, walkImports } from './walk.ts'
import type { FileFacts, ImportGraph, WalkFiles } from './walk.ts'

const FILES_MAX = 20_000
const BYTES_MAX = 268_435_456
/** The imports of a larger file are not known. */
const FILE_MAX_BYTES = 16_777_216

/** The name of the process itself in the sets of the table. */
const OWN = ''

/** When memory is short, the kernel must end this process and not the herd. */
function volunteer(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000')
  } catch {} // no such file: not under Linux's rules, or in a sandbox
}

function walkFiles(request: ImportsRequest, parse: ParseImports, cache: ImportsCache): WalkFiles {
  let files = 0
  let bytes = 0
  const read = (file: string): FileFacts => {
    const { sourceMap, ...found } = parse(readFileSync(file, 'utf8'), file)
    const maps = sourceMap !== undefined && (request.sourceMaps || !isInPackage(file))
    return { ...found, sources: maps ? sourcesOf(file, sourceMap) : [] }
  }
  return {
    resolve: createResolver(),
    skip: (file) => file.startsWith(request.ownRoot),
    full: () => files >= FILES_MAX || bytes >= BYTES_MAX,
    facts(file) {
      const found = printOf(file)
      if (found === undefined) return undefined
      if (found.bytes > FILE_MAX_BYTES) return UNREADABLE
      files++
      bytes += found.bytes
      // Another setting of source maps reads other facts.
      const print = request.sourceMaps ? -found.print : found.print
      try {
        return cache.get(file, print, () => read(file))
      } catch {
        return UNREADABLE
      }
    },
  }
}

const UNREADABLE: FileFacts = { specifiers: [], open: true, sources: [] }

function answer(
  request: ImportsRequest,
  graph: ImportGraph,
): Pick<ImportsAnswer, 'hashes' | 'setOf' | 'sets'> {
  const { files, imports } = graph
  const index = new Map(files.map((file, at) => [file, at]))
  const at = (file: string): number[] => [index.get(fileAt(file)) ?? []].flat()
  const packages = ownPackages(request.ownRoot)
  const own = files.flatMap((file, i) => (packages.has(packageFolderOf(file) ?? '') ? [i] : []))
  const roots = [[...request.own.flatMap(at), ...own], ...request.entries.map(([, file]) => at(file))]
  const names = [OWN, ...request.entries.map(([path]) => path)]
  const { sets, setOf } = reachedFrom(imports, roots)
  return packTable(
    reachTable(
      files,
      setOf,
      sets.map((set) => set.map((i) => names[i]!)),
    ),
  )
}

async function main(): Promise<void> {
  volunteer()
  const startedAt = performance.now()
  const request = JSON.parse(readFileSync(0, 'utf8')) as ImportsRequest
  const cache = new ImportsCache(request.cacheFile)
  const entries = [...request.entries.map(([, file]) => fileAt(file)), ...request.own.map(fileAt)]
  const graph = walkImports(entries, walkFiles(request, await openParser(), cache))
  const found: ImportsAnswer = {
    ...answer(request, graph),
    files: graph.files.length,
    read: cache.misses,
    unread: graph.unread,
    ...save(cache),
    ms: Math.round(performance.now() - startedAt),
  }
  writeFileSync(1, `${JSON.stringify(found)}\n`)
}

/** Without a cache the next reading takes longer; this one is complete. */
function save(cache: ImportsCache): Pick<ImportsAnswer, 'notKept'> {
  try {
    cache.save()
    return {}
  } catch (error) {
    return { notKept: describeThrown(error).message }
  }
}

void main()
