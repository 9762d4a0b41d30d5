// The V8 flags every hosted lane gets, the hand-written host included. `max-semi-space-size=1` alone takes most of the
// start-up garbage away, so comparing with it on one side only would compare V8, not byre.
export const V8_FLAGS = ['--max-semi-space-size=1']
