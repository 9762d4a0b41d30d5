// Entry of the child process that load-in-child.ts starts as `node evaluate.js <request>`. It evaluates the config and
// writes the result as one line of JSON to fd 3. It runs on import.

import { writeSync } from 'node:fs'
import { ByreError, describeThrown } from '../base/errors.ts'
import { loadHerd } from './load.ts'
import type { ChildAnswer, ChildRequest } from './load-in-child.ts'

const ANSWER_FD = 3

async function main(): Promise<void> {
  const request = JSON.parse(process.argv[2] ?? '{}') as ChildRequest
  const answer = await load(request)
  writeAll(Buffer.from(`${JSON.stringify(answer)}\n`))
  // Does not wait for connections or timers that the config may have opened.
  process.exit(0)
}

async function load(request: ChildRequest): Promise<ChildAnswer> {
  try {
    return { ok: true, herd: await loadHerd(request) }
  } catch (error) {
    const known = error instanceof ByreError
    const code = known ? error.code : 'BYRE_INTERNAL'
    const details = known ? error.details : undefined
    return {
      ok: false,
      code,
      message: describeThrown(error).message,
      ...(details === undefined ? {} : { details }),
    }
  }
}

function writeAll(bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(ANSWER_FD, bytes, done)
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5) // a full non-blocking pipe
    }
  }
}

await main()
