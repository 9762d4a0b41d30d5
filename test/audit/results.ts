// A handwritten audit result: main.js -> orm -> driver, main.js -> late, main.js -> tiny.
import type { AuditResult, Figure } from '../../src/audit/result.ts'

const MIB = 1024 * 1024

export function resultOf(
  more: { calibratedBytes?: number; nodeVersion?: string; anon?: Figure } = {},
): AuditResult {
  const figure = (medianBytes: number): Figure => ({ medianBytes, spreadBytes: 0, runs: 5 })
  const modules = [
    ['(program)', 'program', '', 0],
    ['main.js', 'esm', '', 1000],
    ['orm/index.js', 'esm', 'orm', 3 * MIB],
    ['driver/index.js', 'cjs', 'driver', 4 * MIB],
    ['late/index.js', 'cjs', 'late', 2 * MIB],
    ['tiny/index.js', 'cjs', 'tiny', 4000],
  ] as const
  const edges = [
    [0, 1, 'entry'],
    [1, 2, 'import'],
    [2, 3, 'require'],
    [1, 4, 'import'],
    [1, 5, 'import'],
  ] as const
  const dominators = [-1, 0, 1, 2, 1, 1]
  const self = modules.map((m) => m[3])
  const retained = [0, 0, 7 * MIB, 4 * MIB, 2 * MIB, 4000]
  retained[1] = self.reduce((a, b) => a + b, 0)
  retained[0] = retained[1]
  const chain = (label: string) => [{ label: 'main.js', line: 1 }, { label }]
  return {
    version: 1,
    entries: [{ name: 'main.js', url: 'file:///p/main.js', how: 'import' }],
    nodeVersion: more.nodeVersion ?? '24.1.0',
    cwd: '/p',
    takenAt: '2026-01-01T00:00:00.000Z',
    floor: {
      plain: {
        anonBytes: more.anon ?? figure(40 * MIB),
        ussBytes: figure(41 * MIB),
        rssBytes: figure(80 * MIB),
        pssBytes: figure(60 * MIB),
      },
      runtimeAnonBytes: 10 * MIB,
      calibratedBytes: figure(more.calibratedBytes ?? 10 * MIB),
      importMs: 123.4,
    },
    parts: {
      modulesBytes: 9 * MIB,
      loaderBytes: 50_000,
      unnamedBytes: 30_000,
      namedShare: 0.97,
      heapSlackBytes: 500_000,
      pagePoolBytes: 1_000_000,
      nativeBytes: 200_000,
    },
    packages: [2, 3, 4, 5].map((i) => ({
      name: modules[i]![2],
      moduleCount: 1,
      selfBytes: self[i]!,
      retainedBytes: retained[i]!,
      chain: chain(modules[i]![0]),
    })),
    modules: modules.map(([label, kind, packageName, selfBytes], i) => ({
      label,
      url: i === 0 ? '' : `file:///p/${packageName === '' ? '' : 'node_modules/'}${label}`,
      kind,
      packageName,
      selfBytes,
      retainedBytes: retained[i]!,
      dominator: dominators[i]!,
    })),
    edges,
    savings: [
      {
        edges: [{ from: 'main.js', to: 'orm/index.js', line: 1, specifier: 'orm' }],
        predictedBytes: 7 * MIB,
        target: 'orm',
        alternatives: [],
        proof: { kind: 'proven', savedBytes: 7.1 * MIB, spreadBytes: 4096, runs: 2 },
      },
      {
        edges: [{ from: 'main.js', to: 'late/index.js' }],
        predictedBytes: 2 * MIB,
        alternatives: [],
        proof: { kind: 'failed', reason: 'the program threw with the edges stubbed: TypeError: x' },
      },
    ],
    answers: [],
    warnings: [],
    instrument: {
      bareMs: 150,
      probedMs: 2000,
      probedBytes: -20_000,
      collections: 80,
      collectionsMs: 1500,
      children: 12,
      totalMs: 9000,
    },
  }
}
