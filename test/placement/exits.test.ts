import t from 'tap'
import { loadExit } from '../../src/placement/exits.ts'
import { LoadError } from '../../src/worker/load.ts'

t.test(
  'a module without run() is reported without a stack, a module that threw with its own stack',
  async (t) => {
    const shape = new LoadError('BYRE_WORKER_SHAPE', "Cannot host worker 'w': no run.", { needs: 'new-code' })
    t.same(loadExit(shape), {
      verdict: 'launch-failed',
      text: shape.message,
      evidence: { type: 'ByreError', message: shape.message, code: 'BYRE_WORKER_SHAPE' },
      needs: 'new-code',
    })
    const cause = new TypeError('at load')
    const load = new LoadError('BYRE_WORKER_LOAD', 'Cannot load', { cause })
    t.notOk('needs' in loadExit(load), 'another attempt may succeed')
    t.match(loadExit(load), {
      evidence: { type: 'TypeError', stack: /at load[^]*exits\.test/ },
    })
  },
)
