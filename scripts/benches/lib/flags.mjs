// The V8 flags every hosted lane gets, the hand-written host included. `max-semi-space-size=1` alone takes most of the
// start-up garbage away, so comparing with it on one side only would compare V8, not byre. units/byre gives the same.
export const V8_FLAGS = ['--max-semi-space-size=1']

// And the malloc setting units/byre gives (src/base/malloc.ts), to both for the same reason.
export const MALLOC_ENV = { MALLOC_MMAP_THRESHOLD_: '32768' }

// What takes chance out of a run; for calibrated lanes only.
export const CALIBRATED_FLAGS = ['--single-threaded', '--random-seed=1', '--hash-seed=1']
