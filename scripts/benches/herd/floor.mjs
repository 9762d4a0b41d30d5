// The import floor the benchmark's ORM workers share, as products have one: an ORM with 26 tables, its embedded
// database and the logger its library code uses.
import 'reflect-metadata'
import pino from 'pino'
import { DataSource, EntitySchema } from 'typeorm'

export const log = pino({ level: 'warn' })

const COLUMNS = {
  id: { type: 'integer', primary: true },
  ownerId: { type: 'integer', nullable: true },
  name: { type: 'text', default: '' },
  state: { type: 'text', default: 'new' },
  amountCents: { type: 'integer', default: 0 },
  attempts: { type: 'integer', default: 0 },
  createdAt: { type: 'integer', default: 0 },
  updatedAt: { type: 'integer', default: 0 },
  body: { type: 'text', nullable: true },
  version: { type: 'integer', default: 1 },
}
const TABLES = [
  'account address audit_line carrier category contact coupon currency customer delivery event invoice job',
  'ledger_line order order_line parcel payment price_rule product refund session shipment stock_move supplier webhook',
].flatMap((line) => line.split(' '))

let opening

/** The one data source of the process, opened by the first worker that asks. */
export function database() {
  opening ??= new DataSource({
    type: 'sqljs',
    entities: TABLES.map((name) => new EntitySchema({ name, columns: COLUMNS })),
    synchronize: true,
  }).initialize()
  return opening
}
