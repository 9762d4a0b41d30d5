import t from 'tap'
import { ByreError } from '../../../src/base/errors.ts'
import { loadExit } from '../../../src/supervisor/placement/exits.ts'

t.test('a module without run() is told without a stack of byre, one that threw with its own', async (t) => {
  const shape = new ByreError('BYRE_WORKER_SHAPE', "Cannot host worker 'w': no run.")
  t.same(loadExit(shape, false), {
    verdict: 'launch-failed',
    text: shape.message,
    evidence: { type: 'ByreError', message: shape.message, code: 'BYRE_WORKER_SHAPE' },
  })
  const cause = new TypeError('at load')
  const load = new ByreError('BYRE_WORKER_LOAD', 'Cannot load', { cause })
  t.match(loadExit(load, true), {
    fatal: true,
    evidence: { type: 'TypeError', stack: /at load[^]*exits\.test/ },
  })
})
