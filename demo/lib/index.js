// The convenient door to everything the demo's workers share. Whoever comes through it for the relay alone pays for the
// ORM as well: this is how one product came to import its 26 tables 18 times. Kept on purpose; four lean workers
// (logtail, tcp-lines, metrics, heartbeat) import the files they need instead.

export { database } from './orm.js'
export { appendJson, writeJson } from './files.js'
export { drainQueue, forEachItem, send } from './queue-loop.js'
export { relay } from './relay.js'
export { stopped } from './stopped.js'
