// Answers as HTTP text, for clients that are turned away before, in the middle of, or outside of node:http's reading.

import type { ErrorCode } from '../base/errors.ts'

/** A complete answer with its head; the connection ends with it. */
export function plainAnswer(status: string, text: string, type = 'application/json'): string {
  const head = [
    `HTTP/1.1 ${status}`,
    `content-type: ${type}`,
    `content-length: ${Buffer.byteLength(text)}`,
    'connection: close',
  ]
  return `${head.join('\r\n')}\r\n\r\n${text}`
}

/** `status` is code and phrase ('429 Too Many Requests'); `fact` completes "Cannot answer the request: ...". */
export function rawAnswer(status: string, code: ErrorCode, fact: string): string {
  const error = { code, message: `Cannot answer the request: ${fact}.` }
  return plainAnswer(status, `${JSON.stringify({ v: 1, id: '', ok: false, error })}\n`)
}
