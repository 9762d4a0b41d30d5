// The faults of throws.test.ts in a worker in placement thread: the same verdicts, and the other workers are not affected.
process.env['BYRE_TEST_PLACEMENT'] = 'thread'
await import('./throws.test.ts')
