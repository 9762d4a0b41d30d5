// The 26 tables of the demo's shop, as TypeORM entities. Few workers use more than two of them, but every worker loads
// all 26, as in many real products.

import { EntitySchema } from 'typeorm'

/** @typedef {import('typeorm').EntitySchemaColumnOptions} Column */

/** @type {Record<string, Column>} */
const kinds = {
  text: { type: 'text', default: '' },
  cents: { type: 'integer', default: 0 },
  count: { type: 'integer', default: 0 },
  ms: { type: 'integer', default: 0 },
  ref: { type: 'integer', nullable: true },
}

/**
 * Defines a table with an integer key; `columns` is a list of `name:kind`.
 * @param {string} name
 * @param {string} columns
 */
function table(name, columns) {
  const entries = columns.split(' ').map((column) => {
    const [key = '', kind = 'text'] = column.split(':')
    const options = kinds[kind]
    if (options === undefined) throw new Error(`${name}.${key} has an unknown kind: ${kind}`)
    return /** @type {const} */ ([key, options])
  })
  return new EntitySchema({
    name,
    columns: { id: { type: 'integer', primary: true }, ...Object.fromEntries(entries) },
  })
}

export const entities = [
  table('customer', 'name:text tier:text countryId:ref'),
  table('address', 'customerId:ref line:text city:text'),
  table('contact', 'customerId:ref email:text phone:text'),
  table('country', 'code:text vatPermille:count'),
  table('currency', 'code:text minorUnits:count'),
  table('product', 'name:text priceCents:cents stock:count version:count'),
  table('category', 'name:text parentId:ref'),
  table('price_rule', 'productId:ref tier:text discountPermille:count'),
  table('order', 'customerId:ref placedAt:ms totalCents:cents status:text'),
  table('order_line', 'orderId:ref productId:ref quantity:count priceCents:cents'),
  table('invoice', 'orderId:ref dueCents:cents paidCents:cents status:text'),
  table('payment', 'invoiceId:ref cents:cents receivedAt:ms'),
  table('refund', 'paymentId:ref cents:cents reason:text'),
  table('shipment', 'orderId:ref carrier:text shippedAt:ms'),
  table('parcel', 'shipmentId:ref grams:count tracking:text'),
  table('warehouse', 'name:text city:text'),
  table('stock_move', 'productId:ref warehouseId:ref delta:count at:ms'),
  table('supplier', 'name:text countryId:ref'),
  table('purchase', 'supplierId:ref productId:ref quantity:count'),
  table('session', 'customerId:ref token:text expiresAt:ms'),
  table('api_key', 'customerId:ref hash:text expiresAt:ms'),
  table('delivery', 'url:text attempts:count status:text at:ms'),
  table('dead_letter', 'body:text attempts:count dueAt:ms'),
  table('seen_line', 'hash:text at:ms'),
  table('daily_total', 'day:text orders:count cents:cents'),
  table('setting', 'name:text value:text'),
]
