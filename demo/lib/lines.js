// Newline-delimited JSON over a socket, with a limit: what both ends of the relay share.

/** Longest line either end accepts, in bytes of UTF-8. */
export const MAX_LINE_BYTES = 1024 * 1024

/** Bytes the other end may leave unread before the connection is given up. */
export const MAX_BACKLOG_BYTES = 4 * 1024 * 1024

/**
 * Calls `onFrame` with each line's value. A line that is too long or not JSON destroys the socket: after that nothing
 * the other end says can be trusted to start where we think it does.
 * @param {import('node:net').Socket} socket
 * @param {(frame: any) => void} onFrame
 */
export function readFrames(socket, onFrame) {
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (/** @type {string} */ chunk) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') continue
      const frame = parse(line)
      if (frame === undefined) return void socket.destroy(new Error('a line that is no JSON object'))
      onFrame(frame)
    }
    if (rest.length > MAX_LINE_BYTES) socket.destroy(new Error(`a line over ${MAX_LINE_BYTES} bytes`))
  })
}

/**
 * Sends one frame; a peer that does not read is cut off rather than buffered for without end.
 * @param {import('node:net').Socket} socket
 * @param {object} frame
 * @returns {boolean} false when the frame was not accepted
 */
export function writeFrame(socket, frame) {
  if (socket.destroyed || !socket.writable) return false
  const line = `${JSON.stringify(frame)}\n`
  if (Buffer.byteLength(line) > MAX_LINE_BYTES) return false
  socket.write(line)
  if (socket.writableLength > MAX_BACKLOG_BYTES) socket.destroy(new Error('it reads too slowly'))
  return true
}

/** @param {string} line */
function parse(line) {
  if (line.length > MAX_LINE_BYTES) return undefined
  try {
    const value = JSON.parse(line)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}
