// The heavy import of the herd: a real ORM on an SQLite that npm can install without a compiler (sql.js, WebAssembly). The
// database is held in memory; `save` writes it to its file.

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
 *   Applies all of `work` or none of it. Transactions and saves run one after the other.
 * @property {() => Promise<void>} save  Writes the file atomically.
 */

/**
 * The shared resource of `ctx.use(database(file))`. A worker calls `save` before its run returns; the release only closes
 * the database. Only one process at a time may have a file open, so each worker has its own file.
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
  /** Runs work serially: there is one SQLite connection, and an export during a transaction would end the transaction. */
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
