// Newline-delimited JSON over a socket, with size limits. Both ends of the relay use it.

/** The longest line that an end accepts, in bytes of UTF-8. */
export const MAX_LINE_BYTES = 1024 * 1024

/** The connection is closed when the other end has more unread bytes than this. */
export const MAX_BACKLOG_BYTES = 4 * 1024 * 1024

/**
 * Calls `onFrame` with the value of each line. A line that is too long or not JSON destroys the socket, because the start
 * of the next line is then uncertain.
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
      if (frame === undefined)
        return void socket.destroy(new Error('received a line that is not a JSON object'))
      onFrame(frame)
    }
    if (rest.length > MAX_LINE_BYTES)
      socket.destroy(new Error(`received a line over ${MAX_LINE_BYTES} bytes`))
  })
}

/**
 * Sends one frame. A peer that does not read is disconnected, so that its buffer stays bounded.
 * @param {import('node:net').Socket} socket
 * @param {object} frame
 * @returns {boolean} false when the frame was not accepted
 */
export function writeFrame(socket, frame) {
  if (socket.destroyed || !socket.writable) return false
  const line = `${JSON.stringify(frame)}\n`
  if (Buffer.byteLength(line) > MAX_LINE_BYTES) return false
  socket.write(line)
  if (socket.writableLength > MAX_BACKLOG_BYTES) socket.destroy(new Error('the other end reads too slowly'))
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
