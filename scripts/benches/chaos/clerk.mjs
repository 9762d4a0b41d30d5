// The bench's ends of two sockets: the clerk's and the control socket.
import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

/** One question at a time. */
export async function openClerk(path) {
  const socket = connect(path)
  await once(socket, 'connect')
  const lines = createInterface(socket)[Symbol.asyncIterator]()
  const ask = async (question) => {
    socket.write(`${JSON.stringify(question)}\n`)
    return JSON.parse((await lines.next()).value)
  }
  return {
    /** `ms`: how long a stall lasts. */
    fault: (name, kind, ms) => ask({ op: 'fault', name, kind, ms }),
    /** Everybody gets a message each `everyMs` from now on. */
    pace: (everyMs) => ask({ op: 'pace', everyMs }),
    census: () => ask({ op: 'census' }),
    close: () => socket.destroy(),
  }
}

export function readStatus(socketPath) {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/workers', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      response.on('end', () => resolve(JSON.parse(text)))
    })
      .on('error', reject)
      .end()
  })
}
