// Loopback TCP in one process: 1 GiB in 64 KiB writes, then 20,000 echoes of 100 bytes. Prints CPU times as JSON.
import net from 'node:net'

const BULK_BYTES = 2 ** 30
const ECHOES = 20_000

const listen = (server) =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
const cpuSince = (before) => {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

async function bulk() {
  const before = process.cpuUsage()
  await new Promise((resolve) => {
    let got = 0
    const server = net.createServer((socket) =>
      socket.on('data', (data) => {
        got += data.length
        if (got < BULK_BYTES) return
        socket.destroy()
        server.close(resolve)
      }),
    )
    void listen(server).then((port) => {
      const block = Buffer.alloc(65_536, 1)
      const client = net.connect(port)
      client.on('error', () => {})
      const send = () => {
        while (client.writable && client.write(block));
        client.once('drain', send)
      }
      client.on('connect', send)
    })
  })
  return cpuSince(before)
}

async function echo() {
  const before = process.cpuUsage()
  await new Promise((resolve) => {
    const server = net.createServer((socket) => socket.pipe(socket))
    void listen(server).then((port) => {
      const block = Buffer.alloc(100, 1)
      const client = net.connect(port, () => client.write(block))
      let count = 0
      client.on('data', () => {
        if (++count < ECHOES) client.write(block)
        else {
          client.destroy()
          server.close(resolve)
        }
      })
    })
  })
  return cpuSince(before)
}

process.stdout.write(JSON.stringify({ bulkCpuMs: await bulk(), echoCpuMs: await echo() }))
