// Ends of a guest that byre's wire explains: it said what it must not, or that byre's own code failed in it.

import { describeThrown } from '../base/errors.ts'
import type { ByreError } from '../base/errors.ts'
import { evidenceOf } from './exits.ts'
import type { Exit } from '../herd/placement.ts'
import { clip } from './wire/protocol.ts'

/** A guest said what byre's own code in it does not say. */
export function brokeWire(kind: 'thread' | 'process', error: ByreError): Exit {
  const text = `its ${kind} was ended for what it wrote to byre's wire: ${error.message}`
  return { verdict: 'failed', text, evidence: { ...evidenceOf(error), ...error.details } }
}

/** By its own word; byre's code there ends it. What is isolated fails alone, whoever wrote it. */
export function childFault(kind: 'thread' | 'process', said: object): Exit {
  const { message } = describeThrown(said)
  const { stack } = said as { readonly stack?: unknown }
  const text = `an error of byre's own code ended its ${kind}; please report it: ${message}`
  return {
    verdict: 'failed',
    text,
    evidence: { message, ...(typeof stack === 'string' ? { stack: clip(stack) } : {}) },
  }
}
