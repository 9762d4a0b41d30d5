// Finds stage markers in a stream of output: `::byre-stage build::`, anywhere in a line; `::byre-stage ::` ends the stage. A
// marker may be split between two chunks, so the end of a chunk that may start a marker is kept.

const OPENING = Buffer.from('::byre-stage ')
const MAX_NAME_LENGTH = 64
const MAX_MARKER_BYTES = OPENING.length + MAX_NAME_LENGTH * 4 + 2
const MARKER = /::byre-stage ([^:\r\n]{0,64})::/g

export interface MarkerScanner {
  /** The stages announced in `chunk`, in order, including a marker that started in the previous chunk; '' ends a stage. */
  scan(chunk: Buffer): string[]
}

export function createMarkerScanner(): MarkerScanner {
  let tail: Buffer = Buffer.alloc(0)
  return {
    scan(chunk) {
      const bytes = tail.length === 0 ? chunk : Buffer.concat([tail, chunk])
      const first = bytes.indexOf(OPENING)
      if (first < 0) {
        tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - OPENING.length + 1)))
        return []
      }
      const text = bytes.toString('latin1', first)
      const names: string[] = []
      let end = 0
      for (const match of text.matchAll(MARKER)) {
        names.push(Buffer.from(match[1]!, 'latin1').toString('utf8').trim())
        end = match.index + match[0].length
      }
      const rest = text.slice(end)
      const open = rest.lastIndexOf('::byre-stage ')
      const keep =
        open >= 0 && rest.length - open < MAX_MARKER_BYTES
          ? rest.slice(open)
          : rest.slice(-OPENING.length + 1)
      tail = Buffer.from(keep, 'latin1')
      return names
    },
  }
}
