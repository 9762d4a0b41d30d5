// A complete refusal as HTTP text, for clients that are turned away before or outside of node:http.

import type { ErrorCode } from '../../base/errors.ts'

/** `status` is code and phrase ('429 Too Many Requests'); `fact` completes "Cannot answer the request: ...". */
export function rawAnswer(status: string, code: ErrorCode, fact: string): string {
  const error = { code, message: `Cannot answer the request: ${fact}.` }
  const body = `${JSON.stringify({ v: 1, id: '', ok: false, error })}\n`
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${body}`
}
