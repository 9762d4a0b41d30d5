// The script of the audit page: plain JavaScript that only the browser runs.

export const PAGE_SCRIPT = `'use strict';
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
const { modules, edges, packages, savings, floor, parts } = data;
const $ = (id) => document.getElementById(id);
const make = (tag, text, className) => {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
};
const size = (b) => Math.abs(b) < 1e6 ? (b / 1e3).toFixed(1) + ' KB' : (b / 1e6).toFixed(1) + ' MB';
const edgeText = (e) => e.from + (e.line ? ':' + e.line : '') + ' \\u2192 ' + e.to;
const chainText = (c) => c.map((s) => s.label + (s.line ? ':' + s.line : '')).join(' \\u2192 ');

// Graph: shortest path from the program, importers, dominator tree.
const importers = modules.map(() => []), imports = modules.map(() => []), children = modules.map(() => []);
for (const [a, b] of edges) { imports[a].push(b); importers[b].push(a); }
modules.forEach((m, i) => { if (m.dominator >= 0) children[m.dominator].push(i); });
for (const list of children) list.sort((a, b) => modules[b].retainedBytes - modules[a].retainedBytes);
const came = new Array(modules.length).fill(-1);
came[0] = 0;
for (let queue = [0], i = 0; i < queue.length; i++)
  for (const b of imports[queue[i]]) if (came[b] < 0) { came[b] = queue[i]; queue.push(b); }
const chainOf = (i) => {
  const path = [];
  for (let v = i; v > 0; v = came[v]) if (modules[v].kind !== 'wrapper' || v === i) path.unshift(v);
  return path;
};

// Figures, parts, savings.
const anon = floor.plain.anonBytes;
$('figures').textContent = 'Node ' + data.nodeVersion + ': ' + size(anon.medianBytes) + ' private memory (median of ' + anon.runs +
  ', spread ' + size(anon.spreadBytes) + '), of which ' + size(floor.runtimeAnonBytes) + ' is bare Node; calibrated ' +
  size(floor.calibratedBytes.medianBytes) + ', ' + (parts.namedShare * 100).toFixed(1) + ' % attributed; imports take ' + floor.importMs + ' ms.';
for (const w of [...(data.partial ? ['Incomplete: ' + data.partial] : []), ...data.warnings]) $('notes').append(make('li', w));
const own = packages.filter((p) => !p.name.startsWith('node:')).reduce((s, p) => s + p.selfBytes, 0);
const builtin = packages.filter((p) => p.name.startsWith('node:')).reduce((s, p) => s + p.selfBytes, 0);
const partRows = [['packages', own], ['builtin modules', builtin], ['first-party code', parts.modulesBytes - own - builtin], ['loader', parts.loaderBytes],
  ['not attributed', parts.unnamedBytes], ['V8 heap slack', parts.heapSlackBytes], ['V8 page pool', parts.pagePoolBytes], ['native malloc', parts.nativeBytes]];
const most = Math.max(1, ...partRows.map((r) => r[1]));
for (const [name, bytes] of partRows) {
  const row = make('div', undefined, 'part'), bar = make('div', undefined, 'bar');
  bar.style.width = Math.max(0, bytes / most * 100) + '%';
  row.append(make('span', name), make('b', size(bytes)), bar);
  $('parts').append(row);
}
const proofText = (s) => s.proof.kind === 'proven'
  ? size(s.proof.savedBytes) + ' proven in ' + s.proof.runs + ' runs (predicted ' + size(s.predictedBytes) + ')'
  : s.proof.kind === 'failed' ? 'not proven: ' + s.proof.reason : 'not proven yet (predicted ' + size(s.predictedBytes) + ')';
for (const s of savings.filter((s) => s.proof.kind !== 'not-run'))
  $('savings').append(make('li', proofText(s) + ': ' + s.edges.slice(0, 6).map(edgeText).join(', ') + (s.edges.length > 6 ? ' and ' + (s.edges.length - 6) + ' more' : ''), s.proof.kind === 'failed' ? 'failed' : ''));
if (!$('savings').children.length) $('savings').append(make('li', 'no proof was run', 'failed'));

// Icicle.
let top = 0;
const ROW = 28, ROWS = 12, LEAST = 0.3;
const drawIcicle = (focus) => {
  const box = $('icicle');
  box.textContent = '';
  const whole = Math.max(1, modules[top].retainedBytes);
  const place = (i, left, width, depth) => {
    const m = modules[i], b = make('button', m.label + '  ' + size(m.retainedBytes));
    b.className = m.kind === 'builtin' ? 'builtin' : m.packageName ? 'package' : '';
    b.style.left = left + '%'; b.style.width = width + '%'; b.style.top = depth * ROW + 'px';
    b.title = m.label + '\\nretained ' + size(m.retainedBytes) + ', self ' + size(m.selfBytes);
    b.setAttribute('role', 'treeitem');
    b.setAttribute('aria-level', depth + 1);
    b.dataset.module = i; b.dataset.depth = depth; b.tabIndex = -1;
    box.append(b);
    if (depth + 1 >= ROWS) return;
    let at = left;
    for (const c of children[i]) {
      const w = modules[c].retainedBytes / whole * 100;
      if (w < LEAST) break;
      place(c, at, Math.min(w, left + width - at), depth + 1);
      at += w;
    }
  };
  place(top, 0, 100, 0);
  const first = box.querySelector('[data-module="' + (focus ?? top) + '"]') ?? box.firstChild;
  first.tabIndex = 0;
  if (focus !== undefined) first.focus();
  const crumbs = $('crumbs');
  crumbs.textContent = '';
  const path = [];
  for (let v = top; v >= 0; v = modules[v].dominator) path.unshift(v);
  path.forEach((v, k) => {
    if (k) crumbs.append(' \\u203a ');
    const b = make('button', modules[v].label);
    b.onclick = () => { top = v; drawIcicle(v); };
    crumbs.append(b);
  });
};
const zoom = (i) => { if (children[i].length) { top = i; drawIcicle(i); } show(i); };
$('icicle').addEventListener('click', (e) => { const b = e.target.closest('button'); if (b) zoom(+b.dataset.module); });
$('icicle').addEventListener('keydown', (e) => {
  const b = e.target.closest('button');
  if (!b) return;
  const depth = +b.dataset.depth, all = [...$('icicle').children];
  const same = all.filter((x) => +x.dataset.depth === depth), at = same.indexOf(b);
  const under = all.find((x) => modules[+x.dataset.module].dominator === +b.dataset.module && +x.dataset.depth === depth + 1);
  const over = all.find((x) => +x.dataset.module === modules[+b.dataset.module].dominator);
  const to = { ArrowRight: same[at + 1], ArrowLeft: same[at - 1], ArrowDown: under, ArrowUp: over }[e.key];
  if (to) { b.tabIndex = -1; to.tabIndex = 0; to.focus(); show(+to.dataset.module); }
  else if (e.key === 'Escape' && modules[top].dominator >= 0) { const was = top; top = modules[top].dominator; drawIcicle(was); }
  else if (!e.key.startsWith('Arrow')) return;
  e.preventDefault();
});

// Table.
const COLUMNS = [['label', 'module'], ['packageName', 'package'], ['kind', 'kind'], ['selfBytes', 'self'], ['retainedBytes', 'retained']];
let sort = 'retainedBytes', down = true;
const headers = COLUMNS.map(([key, title]) => {
  const th = make('th', undefined, key.endsWith('Bytes') ? 'number' : ''), b = make('button', title);
  th.scope = 'col';
  b.onclick = () => { down = sort === key ? !down : key.endsWith('Bytes'); sort = key; drawTable(); };
  th.append(b);
  $('heads').append(th);
  return th;
});
const packageRows = packages.map((p) => ({ label: p.name, packageName: p.name, kind: p.moduleCount + ' modules', selfBytes: p.selfBytes,
  retainedBytes: p.retainedBytes, index: modules.findIndex((m) => m.packageName === p.name), chain: p.chain }));
const moduleRows = modules.map((m, i) => ({ ...m, index: i })).filter((m) => m.index > 0);
const drawTable = () => {
  const words = $('search').value.toLowerCase().split(/\\s+/).filter(Boolean);
  const found = ($('grouped').checked ? packageRows : moduleRows)
    .filter((r) => { const t = (r.label + ' ' + r.packageName + ' ' + r.kind).toLowerCase(); return words.every((w) => t.includes(w)); })
    .sort((a, b) => (a[sort] < b[sort] ? -1 : a[sort] > b[sort] ? 1 : 0) * (down ? -1 : 1));
  COLUMNS.forEach(([key], i) => headers[i].setAttribute('aria-sort', key === sort ? (down ? 'descending' : 'ascending') : 'none'));
  const shown = found.slice(0, 300);
  $('count').textContent = found.length + ' found' + (found.length > shown.length ? ', the first 300 shown' : '') + ', self ' + size(found.reduce((s, r) => s + r.selfBytes, 0));
  $('rows').replaceChildren(...shown.map((r) => {
    const tr = make('tr');
    tr.tabIndex = 0;
    tr.dataset.module = r.index;
    for (const [key] of COLUMNS) tr.append(make('td', key.endsWith('Bytes') ? size(r[key]) : r[key] || 'first-party code', key.endsWith('Bytes') ? 'number' : ''));
    const open = () => show(r.index, r.chain);
    tr.onclick = open;
    tr.onkeydown = (e) => {
      if (e.key === 'Enter') open();
      else if (e.key === 'ArrowDown') tr.nextElementSibling?.focus();
      else if (e.key === 'ArrowUp') tr.previousElementSibling?.focus();
      else return;
      e.preventDefault();
    };
    return tr;
  }));
};
$('search').oninput = drawTable;
$('grouped').onchange = drawTable;

// Detail.
const show = (i, chain) => {
  if (i < 0) return;
  const m = modules[i], box = $('detail');
  box.hidden = false;
  box.replaceChildren(make('h3', m.label + ' (' + m.kind + (m.packageName ? ', ' + m.packageName : '') + ')'));
  const line = (t) => box.append(make('p', t));
  line('self ' + size(m.selfBytes) + ', retained ' + size(m.retainedBytes) + (m.dominator > 0 ? '; only loaded through ' + modules[m.dominator].label : ''));
  const p = packages.find((x) => x.name === m.packageName);
  const known = chain ?? (p && p.chain.length && p.chain[p.chain.length - 1].label === m.label ? p.chain : undefined);
  line('chain: ' + (known ? chainText(known) : chainOf(i).map((v) => modules[v].label).join(' \\u2192 ')));
  line('imported by ' + importers[i].length + ': ' + importers[i].slice(0, 12).map((v) => modules[v].label).join(', ') + (importers[i].length > 12 ? ' \\u2026' : ''));
  const about = savings.filter((s) => s.target === m.packageName && s.target || s.edges.some((e) => e.to === m.label || e.from === m.label));
  for (const s of about.slice(0, 5)) line('cut ' + s.edges.slice(0, 4).map(edgeText).join(', ') + (s.edges.length > 4 ? ' and ' + (s.edges.length - 4) + ' more' : '') + ': ' + proofText(s));
  if (!about.length) line('cut: no proposal for this module');
  const b = make('button', 'show in the chart');
  b.onclick = () => { top = children[i].length ? i : Math.max(0, m.dominator); drawIcicle(i); $('icicle').scrollIntoView({ block: 'center' }); };
  box.append(b);
  for (const tr of $('rows').children) tr.setAttribute('aria-selected', +tr.dataset.module === i);
};
document.addEventListener('keydown', (e) => {
  if (e.key === '/' && document.activeElement !== $('search')) { $('search').focus(); e.preventDefault(); }
  else if (e.key === 'Escape' && !e.defaultPrevented) $('detail').hidden = true;
});
drawIcicle();
drawTable();
})();`
