import t from 'tap'
import { NO_STAGE, parseStageRule, tagStages } from '../../src/measure/stages.ts'

const process = (pid: number, ppid: number, command: string) => ({ pid, ppid, command })
const tag = (processes: ReturnType<typeof process>[], rules: string[], announced?: string) =>
  Object.fromEntries(tagStages(processes, rules.map(parseStageRule), announced))

t.test('the first matching rule names the stage, for any order of the processes', async (t) => {
  const tree = [process(1, 0, 'npm run build'), process(2, 1, 'node esbuild test')]
  t.same(tag(tree, ['bundle=esbuild', 'test=test']), { 1: NO_STAGE, 2: 'bundle' })
  t.same(tag(tree, ['test=test', 'bundle=esbuild']), { 1: NO_STAGE, 2: 'test' })
})

t.test("a process without a matching rule has its parent's stage", async (t) => {
  const tree = [process(1, 0, 'npm'), process(2, 1, 'tsc'), process(3, 2, 'worker'), process(4, 3, 'worker')]
  t.same(tag(tree, ['types=tsc']), { 1: NO_STAGE, 2: 'types', 3: 'types', 4: 'types' })
})

t.test('a marker names the stage of processes without a rule or tagged parent', async (t) => {
  const tree = [process(1, 0, 'make'), process(2, 1, 'tsc'), process(3, 1, 'cp')]
  t.same(tag(tree, ['types=tsc'], 'copy'), { 1: 'copy', 2: 'types', 3: 'copy' })
})

t.test('--stage rejects a text that is not name=regex, with the reason', async (t) => {
  for (const bad of ['', 'build', '=x', ' =x', 'a,b=x'])
    t.throws(() => parseStageRule(bad), { code: 'BYRE_USAGE', message: /--stage/ }, bad)
  t.throws(() => parseStageRule('a=('), { code: 'BYRE_USAGE', message: /regular expression/ })
  t.ok(parseStageRule('a=b=c').pattern.test('b=c'), "only the first '=' divides")
})
