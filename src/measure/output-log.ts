// The output of a measured command, to its log file and to whoever listens. The pipe is always drained: a full disk or a
// reached maximum loses log text, counted, and never stalls the command.

import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Readable } from 'node:stream'
import type { MarkerScanner } from './markers.ts'
import { createMarkerScanner } from './markers.ts'

export interface OutputLog {
  /** Bytes that came, and those not in the log. */
  readonly bytes: number
  readonly unloggedBytes: number
  /** The last lines, at most 2 KiB, for a report of what failed. */
  readonly lastLines: string
  /** Why text was lost, once. */
  readonly problem: string | undefined
  /** Reads `stream` to its end. */
  attach(stream: Readable, show?: (chunk: Buffer) => void): Promise<void>
  close(): void
}

const TAIL_BYTES = 2048

/** Appends to `path` up to `maxBytes`; `onStage` hears the markers. */
export function openOutputLog(
  path: string | undefined,
  maxBytes: number,
  onStage: (name: string) => void,
): OutputLog {
  return new FileLog(path, maxBytes, onStage)
}

class FileLog implements OutputLog {
  bytes = 0
  unloggedBytes = 0
  problem: string | undefined
  #fd: number | undefined
  #tail: Buffer = Buffer.alloc(0)
  readonly #maxBytes: number
  readonly #onStage: (name: string) => void

  constructor(path: string | undefined, maxBytes: number, onStage: (name: string) => void) {
    this.#maxBytes = maxBytes
    this.#onStage = onStage
    if (path === undefined) return
    try {
      mkdirSync(dirname(path), { recursive: true })
      this.#fd = openSync(path, 'a')
    } catch (error) {
      this.problem = `no log: ${(error as Error).message}`
    }
  }

  get lastLines(): string {
    return this.#tail.toString('utf8')
  }

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
      // Synchronously, so that what waits is the command and not a growing queue in here.
      for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at)
    } catch (error) {
      this.problem ??= `the log is incomplete: ${(error as Error).message}`
      this.unloggedBytes += chunk.length
    }
  }
}
