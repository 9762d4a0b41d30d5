// The page in a real Chromium, from file://, without a network: it is drawn, searched, sorted, driven by keyboard. The steps
// are a script appended to the page; their results are in the dumped DOM.
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { auditHtml } from '../../src/report/audit-html.ts'
import { CHROMIUM_FLAGS, chromium } from '../helpers/chromium.ts'
import { resultOf } from '../audit/results.ts'

const STEPS = `
const seen = {};
const $ = (id) => document.getElementById(id);
const texts = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent);
const key = (e, k) => e.dispatchEvent(new KeyboardEvent('keydown', { key: k, bubbles: true, cancelable: true }));
seen.rows = texts('#rows tr td:first-child');
seen.icicle = texts('#icicle button').map((x) => x.split('  ')[0]);
seen.savings = texts('#savings li');
$('search').value = 'driver'; $('search').oninput();
seen.found = texts('#rows tr td:first-child');
$('search').value = ''; $('search').oninput();
document.querySelectorAll('#heads button')[0].click();
seen.sorted = texts('#rows tr td:first-child');
$('grouped').checked = true; $('grouped').onchange();
seen.packages = texts('#rows tr td:first-child');
$('rows').querySelector('tr').click();
seen.detail = $('detail').innerText;
const first = $('icicle').querySelector('button');
first.focus(); key(first, 'ArrowDown'); seen.down = document.activeElement.textContent.split('  ')[0];
document.activeElement.click(); seen.crumbs = $('crumbs').textContent;
key(document.activeElement.closest('#icicle') ? document.activeElement : $('icicle').querySelector('button'), 'Escape');
seen.back = $('crumbs').textContent;
document.title = JSON.stringify(seen);`

t.test('the page works in Chromium', { skip: chromium === undefined && 'no Chromium here' }, async (t) => {
  const folder = t.testdir({})
  const path = join(folder, 'audit.html')
  const base = resultOf()
  const evil = { ...base.modules[4]!, label: '<img src=x onerror="document.title=1">' }
  const modules = base.modules.map((m, i) => (i === 4 ? evil : m))
  writeFileSync(path, `${auditHtml({ ...base, modules })}<script>${STEPS}</script>`)
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
  t.same(seen.rows.slice(0, 2), ['main.js', 'orm/index.js'], 'the largest first')
  t.same(seen.icicle.slice(0, 4), ['(program)', 'main.js', 'orm/index.js', 'driver/index.js'])
  t.match(seen.savings, [/^7\.4 MB proven in 2 runs/, /^not proven: the program threw/])
  t.same(seen.found, ['driver/index.js'])
  t.same(seen.sorted.slice(-1), ['tiny/index.js'], 'sorted by name')
  t.same(seen.packages, ['driver', 'late', 'orm', 'tiny'])
  t.match(seen.detail, /driver\/index\.js.*chain: main\.js:1 → driver\/index\.js/s)
  t.equal(seen.down, 'main.js')
  t.match(seen.crumbs, '(program) › main.js')
  t.equal(seen.back, '(program)')
})
