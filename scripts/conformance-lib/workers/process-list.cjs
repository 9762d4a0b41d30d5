// The listeners of the process itself. byre gives each worker a list of its own for 'exit' and 'beforeExit'; what an imported
// module adds while it is evaluated, as this one and Node's test helpers, is on that of the process.
const { AsyncResource } = require('node:async_hooks')

exports.list = {
  listeners: AsyncResource.bind((event) => process.rawListeners(event)),
  remove: AsyncResource.bind((event, listener) => void process.removeListener(event, listener)),
  call: (listener) => listener.call(process, 0),
}
