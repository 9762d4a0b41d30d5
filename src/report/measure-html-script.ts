// The script of the measurement page: draws the stacked timeline of each series by stage or by process. Plain browser
// JavaScript as text; text of the measured program is shown through textContent.

export const PAGE_SCRIPT: string = String.raw`
'use strict'
const data = JSON.parse(document.getElementById('data').textContent)
const SVG = 'http://www.w3.org/2000/svg'
const dark = matchMedia('(prefers-color-scheme: dark)')
const color = (i) => 'hsl(' + Math.round((i * 137.5 + 210) % 360) + ' 55% ' + (dark.matches ? 48 : 62) + '%)'
const mb = (bytes) => (bytes / 1e6).toFixed(1) + ' MB'
const el = (name, props, ...children) => { const e = Object.assign(document.createElement(name), props); e.append(...children); return e }
const svg = (name, attributes) => { const e = document.createElementNS(SVG, name); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); return e }
const W = 1000, H = 320, LEFT = 70, BOTTOM = 24, TOP = 8

function draw(host, timeline, groups) {
  host.replaceChildren()
  const names = Object.keys(groups).toSorted((a, b) => (a === 'others') - (b === 'others') || Math.max(...groups[b]) - Math.max(...groups[a]))
  const at = timeline.atMs, n = at.length
  const totals = at.map((_, i) => names.reduce((sum, name) => sum + groups[name][i], 0))
  const top = Math.max(1, ...totals, ...(timeline.currentBytes ?? [])) * 1.05, end = Math.max(1, at[n - 1])
  const x = (ms) => LEFT + (ms / end) * (W - LEFT - 8), y = (bytes) => H - BOTTOM - (bytes / top) * (H - BOTTOM - TOP)
  const picture = svg('svg', { viewBox: '0 0 ' + W + ' ' + H, preserveAspectRatio: 'none', tabindex: 0, role: 'img', 'aria-label': 'memory over time, stacked; arrow keys move the cursor' })
  for (let i = 0; i <= 4; i++) {
    const bytes = top * i / 4
    picture.append(svg('line', { class: 'axis', x1: LEFT, x2: W - 8, y1: y(bytes), y2: y(bytes) }))
    const label = svg('text', { x: LEFT - 6, y: y(bytes) + 4, 'text-anchor': 'end' }); label.textContent = mb(bytes); picture.append(label)
    const time = svg('text', { x: x(end * i / 4), y: H - 6, 'text-anchor': i === 0 ? 'start' : i === 4 ? 'end' : 'middle' }); time.textContent = (end * i / 4000).toFixed(1) + ' s'; picture.append(time)
  }
  let base = at.map(() => 0)
  names.forEach((name, k) => {
    const upper = base.map((b, i) => b + groups[name][i])
    const points = [...at.map((ms, i) => x(ms) + ',' + y(upper[i])), ...at.map((ms, i) => x(ms) + ',' + y(base[i])).reverse()]
    picture.append(svg('polygon', { points: points.join(' '), fill: color(k) })); base = upper
  })
  if (timeline.currentBytes) picture.append(svg('polyline', { class: 'current', points: at.map((ms, i) => x(ms) + ',' + y(timeline.currentBytes[i])).join(' ') }))
  const cursor = svg('line', { class: 'cursor', y1: TOP, y2: H - BOTTOM, x1: -9, x2: -9 }); picture.append(cursor)
  const legend = el('ul', { className: 'legend' })
  names.forEach((name, k) => { const dot = el('i'); dot.style.background = color(k); legend.append(el('li', {}, dot, el('span', { textContent: name }))) })
  const tip = el('p', { className: 'tip' }); tip.setAttribute('role', 'status')
  let shown = totals.indexOf(Math.max(...totals))
  const show = (i) => {
    shown = Math.min(n - 1, Math.max(0, i)); const px = x(at[shown]); cursor.setAttribute('x1', px); cursor.setAttribute('x2', px)
    const parts = names.map((name) => [name, groups[name][shown]]).filter((p) => p[1] > 0).toSorted((a, b) => b[1] - a[1]).slice(0, 6)
    tip.textContent = (at[shown] / 1000).toFixed(2) + ' s: PSS ' + mb(totals[shown]) + (timeline.currentBytes ? ', cgroup ' + mb(timeline.currentBytes[shown]) : '') + ' = ' + parts.map((p) => p[0] + ' ' + mb(p[1])).join(', ')
  }
  picture.addEventListener('pointermove', (event) => {
    const box = picture.getBoundingClientRect(), ms = ((event.clientX - box.left) / box.width * W - LEFT) / (W - LEFT - 8) * end
    let nearest = 0; at.forEach((t, i) => { if (Math.abs(t - ms) < Math.abs(at[nearest] - ms)) nearest = i }); show(nearest)
  })
  picture.addEventListener('keydown', (event) => { const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]; if (step) { show(shown + step); event.preventDefault() } })
  host.append(picture, tip, legend); show(shown)
}

document.querySelectorAll('[data-run]').forEach((host) => {
  const { timeline } = data[Number(host.dataset.run)]
  const chart = el('div', { className: 'chart' }), tabs = el('p', { className: 'tabs' })
  const views = [['by stage', timeline.stages], ['by process', timeline.processes]]
  const buttons = views.map(([title, groups]) => el('button', { type: 'button', textContent: title, onclick: () => { buttons.forEach((b) => b.setAttribute('aria-pressed', b.textContent === title)); draw(chart, timeline, groups) } }))
  tabs.append(...buttons); host.append(tabs, chart); buttons[Object.keys(timeline.stages).length > 1 ? 0 : 1].click()
})
`
