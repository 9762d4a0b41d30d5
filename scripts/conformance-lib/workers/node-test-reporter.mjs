// A reporter of node:test that hands its events to the suite in the same process; a child process of a test has none.
// suite.mjs imports it before node:test does: tests begin only when their reporter is loaded, and some files count on
// that they begin at once.
let listener

export function listen(each) {
  listener = each
}

// oxlint-disable-next-line require-yield -- a reporter is a generator; this one prints nothing
export default async function* hand(source) {
  for await (const event of source) listener?.(event)
}
