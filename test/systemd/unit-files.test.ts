// Conflicts= of a masked unit, read from its files by systemd's rules.
import t from 'tap'
import { conflictsIn } from '../../src/systemd/unit-files.ts'

const conflicts = (...texts: readonly string[]): string[] => conflictsIn('shop-batch.service', texts)

t.test('only services are returned, from the file and its drop-ins, each once', async (t) => {
  const file = '[Unit]\nConflicts=shop@a.service shutdown.target\n Conflicts = shop@b.service\n'
  t.same(conflicts(file, '[Unit]\nConflicts=shop@a.service other.service\n'), [
    'shop@a.service',
    'shop@b.service',
    'other.service',
  ])
  t.same(conflicts(''), [])
})

t.test('an empty assignment clears, a comment is ignored, a backslash continues the line', async (t) => {
  t.same(conflicts('Conflicts=a.service\n', 'Conflicts=\nConflicts=b.service\n'), ['b.service'])
  t.same(conflicts('#Conflicts=a.service\n ; Conflicts=b.service\nConflicts=c.service \\\n  d.service\n'), [
    'c.service',
    'd.service',
  ])
})

t.test('specifiers of a unit that is not an instance are resolved', async (t) => {
  t.same(conflicts(String.raw`Conflicts=%p-one.service %N@x.service a%%b.service my\x20unit.service`), [
    'shop-batch-one.service',
    'shop-batch@x.service',
    'a%b.service',
    String.raw`my\x20unit.service`,
  ])
})
