// The workloads in plain Node: `node plain.mjs SOCKET`; with `als` after it, inside one `AsyncLocalStorage.run`.
import { AsyncLocalStorage } from 'node:async_hooks'
import { serve } from './serve.mjs'

const [path, how] = process.argv.slice(2)
if (how === 'als') await new AsyncLocalStorage().run({ name: 'measured' }, serve, path)
else await serve(path)
console.log(JSON.stringify({ event: 'ready' }))
