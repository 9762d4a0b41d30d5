// Values that are no JSON, as ctx.offload takes and gives them, in lines of JSON: what V8 writes of a structured clone.

import { deserialize, serialize } from 'node:v8'

/** Throws for what no other process can be given: functions, ports, shared memory. */
export function packClone(value: unknown): string {
  return serialize(value).toString('base64')
}

export function unpackClone(text: string): unknown {
  return deserialize(Buffer.from(text, 'base64'))
}
