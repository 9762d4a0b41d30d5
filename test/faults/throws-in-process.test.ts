// The faults of throws.test.ts in a worker in placement process: the same verdicts, and the other workers are not affected.
process.env['BYRE_TEST_PLACEMENT'] = 'process'
await import('./throws.test.ts')
