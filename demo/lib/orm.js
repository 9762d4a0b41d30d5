// The heavy import of the herd: a real ORM over an SQLite that npm alone can install (sql.js, WebAssembly). The database
// lives in memory and is written to its file by `save`.

import 'reflect-metadata'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DataSource } from 'typeorm'
import { entities } from './entities.js'

/**
 * @typedef {Object} Database
 * @property {DataSource} source
 * @property {(name: string) => import('typeorm').Repository<any>} rows  The repository of a table.
 * @property {<T>(work: (rows: (name: string) => import('typeorm').Repository<any>) => Promise<T>) => Promise<T>} transaction
 *   All of `work` or nothing of it; transactions and saves wait for each other.
 * @property {() => Promise<void>} save  Writes the file: whole, or as it was before.
 */

/**
 * The shared resource behind `ctx.use(database(file))`. What a worker wants kept it saves before its run returns; the
 * release only closes. One process at a time may have a file open: each worker has its own.
 * @param {string} file
 * @returns {import('byre/worker').Resource<Database>}
 */
export function database(file) {
  return { key: `database:${file}`, create: () => open(file), dispose: (db) => db.source.destroy() }
}

/** @param {string} file @returns {Promise<Database>} */
async function open(file) {
  const saved = await readFile(file).catch((error) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const source = new DataSource({
    type: 'sqljs',
    entities,
    synchronize: true,
    ...(saved === undefined ? {} : { database: new Uint8Array(saved) }),
  })
  await source.initialize()
  let last = Promise.resolve()
  /** One after the other: SQLite has one connection here, and an export in mid-transaction would end it. */
  const inTurn = (/** @type {() => Promise<any>} */ work) => {
    const turn = last.then(work)
    last = turn.catch(() => {})
    return turn
  }
  return {
    source,
    rows: (name) => source.getRepository(name),
    transaction: (work) =>
      inTurn(() => source.transaction((manager) => work((name) => manager.getRepository(name)))),
    save: () => inTurn(() => write(file, source.sqljsManager.exportDatabase())),
  }
}

/** @param {string} file @param {Uint8Array} bytes */
async function write(file, bytes) {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(`${file}.new`, bytes)
  await rename(`${file}.new`, file)
}
