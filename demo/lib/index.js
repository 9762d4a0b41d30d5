// A barrel of everything that the demo's workers share. A worker that imports only the relay from here loads the ORM as
// well: in this way a real product came to import its 26 tables 18 times. This is on purpose; four lean workers (logtail,
// tcp-lines, metrics, heartbeat) import only the files they need.

export { database } from './orm.js'
export { appendJson, writeJson } from './files.js'
export { drainQueue, forEachItem, send } from './queue-loop.js'
export { relay } from './relay.js'
export { stopped } from './stopped.js'
