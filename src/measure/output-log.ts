// Copies the output of a measured command to its log file and to a callback. The pipe is always drained: a full disk or a
// reached size limit loses and counts log text but never stalls the command.

import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Readable } from 'node:stream'
import type { MarkerScanner } from './stage-markers.ts'
import { createMarkerScanner } from './stage-markers.ts'

const TAIL_BYTES = 2048

export class OutputLog {
  /** Bytes received, and the part of them that is not in the log. */
  bytes = 0
  unloggedBytes = 0
  /** The first reason why text was lost. */
  problem: string | undefined
  #fd: number | undefined
  #tail: Buffer = Buffer.alloc(0)
  readonly #maxBytes: number
  readonly #onStage: (name: string) => void

  /** Appends to `path`, up to `maxBytes` of output; calls `onStage` for each stage marker. */
  constructor(path: string | undefined, maxBytes: number, onStage: (name: string) => void) {
    this.#maxBytes = maxBytes
    this.#onStage = onStage
    if (path === undefined) return
    try {
      mkdirSync(dirname(path), { recursive: true })
      this.#fd = openSync(path, 'a')
    } catch (error) {
      this.problem = `the log cannot be written: ${(error as Error).message}`
    }
  }

  /** The end of the output, at most 2 KiB, for the report of a failed run. */
  get lastLines(): string {
    return this.#tail.toString('utf8')
  }

  /** Reads `stream`; resolves at its end. */
  attach(stream: Readable, show?: (chunk: Buffer) => void): Promise<void> {
    const scanner = createMarkerScanner()
    stream.on('data', (chunk: Buffer) => this.#take(chunk, scanner, show))
    return new Promise((resolve) => stream.once('close', () => resolve()))
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #take(chunk: Buffer, scanner: MarkerScanner, show?: (chunk: Buffer) => void): void {
    this.bytes += chunk.length
    for (const name of scanner.scan(chunk)) this.#onStage(name)
    this.#tail = Buffer.concat([this.#tail, chunk.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES)
    this.#write(chunk)
    show?.(chunk)
  }

  #write(chunk: Buffer): void {
    if (this.#fd === undefined || this.bytes > this.#maxBytes) {
      this.unloggedBytes += chunk.length
      if (this.#fd !== undefined) this.problem ??= `the log stops at ${this.#maxBytes} bytes (--log-max)`
      return
    }
    try {
      // A synchronous write applies backpressure to the command instead of growing a queue here.
      for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at)
    } catch (error) {
      this.problem ??= `the log is incomplete: ${(error as Error).message}`
      this.unloggedBytes += chunk.length
    }
  }
}
