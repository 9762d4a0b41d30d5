// The page in a real Chromium, from file://, without a network: it is drawn, switched between stages and processes, read by
// keyboard. The steps are a script appended to the page; their results are in the dumped DOM.
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { measureHtml } from '../../src/report/measure-html.ts'
import { CHROMIUM_FLAGS, chromium } from '../helpers/chromium.ts'
import { measurementOf, runOf, stageOf } from '../measure/results.ts'

const STEPS = `
const seen = {};
const texts = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent);
const key = (e, k) => e.dispatchEvent(new KeyboardEvent('keydown', { key: k, bubbles: true, cancelable: true }));
seen.headings = texts('h2');
seen.pressed = texts('[aria-pressed=true]');
seen.legend = texts('.legend li');
seen.tip = texts('.tip')[0];
const picture = document.querySelector('.chart svg');
seen.drawn = picture.querySelectorAll('polygon').length;
key(picture, 'ArrowLeft'); seen.left = texts('.tip')[0];
key(picture, 'ArrowLeft'); key(picture, 'ArrowLeft'); seen.edge = texts('.tip')[0];
document.querySelectorAll('.tabs button')[1].click();
seen.byProcess = texts('.legend li');
seen.images = document.images.length;
document.title = JSON.stringify(seen);`

const EVIL = '<img src=x onerror="document.title=1">'
const result = measurementOf(
  [
    runOf('npm run build', 1, 400, {
      stages: [stageOf('types', 300), stageOf(EVIL, 100)],
      drivingStage: 'types',
      notes: [EVIL],
      timeline: {
        atMs: [0, 150, 300],
        currentBytes: [110e6, 420e6, 60e6],
        stages: { types: [100e6, 300e6, 0], [EVIL]: [0, 100e6, 50e6] },
        processes: { 'node 1': [100e6, 300e6, 0], [EVIL]: [0, 100e6, 50e6] },
      },
    }),
  ],
  { label: EVIL },
)

t.test('the page works in Chromium', { skip: chromium === undefined && 'no Chromium here' }, async (t) => {
  const folder = t.testdir({})
  const path = join(folder, 'measure.html')
  writeFileSync(path, `${measureHtml(result)}<script>${STEPS}</script>`)
  const args = [
    ...CHROMIUM_FLAGS,
    `--user-data-dir=${join(folder, 'profile')}`,
    '--dump-dom',
    `file://${path}`,
  ]
  const { stdout } = await promisify(execFile)(chromium!, args, { timeout: 60_000, maxBuffer: 1 << 26 })
  const title = /<title>(.*?)<\/title>/s
    .exec(stdout)?.[1]
    ?.replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
  const seen = JSON.parse(title!)
  t.same(seen.headings, ['npm run build (warm, 1 of 1 ok)'])
  t.same(seen.pressed, ['by stage'])
  t.same(seen.legend, ['types', EVIL], 'the largest first, as text')
  t.equal(seen.drawn, 2)
  t.match(seen.tip, '0.15 s: PSS 400.0 MB, cgroup 420.0 MB = types 300.0 MB', 'the peak is shown first')
  t.match(seen.left, /^0\.00 s: PSS 100\.0 MB/, 'arrow keys move the cursor')
  t.equal(seen.edge, seen.left, 'and stop at the edge')
  t.same(seen.byProcess, ['node 1', EVIL])
  t.equal(seen.images, 0, 'text of the measured program is not markup')
})

t.test('the page makes no network request and runs no foreign script', async (t) => {
  const html = measureHtml(result)
  t.match(html, "default-src 'none'")
  t.notMatch(html, /<(?:link|img|iframe)\b|\b(?:src|href)=["']?(?:https?:)?\/\//)
  t.notMatch(html, '<img src=x')
})
