// An audit as one self-contained page: figures, an icicle chart of retained memory, a table to search and sort, and for
// each module its import chain, the modules only it keeps loaded, and the proven savings. Works offline, from file://,
// by keyboard, in dark and light mode. All text of the program is inserted as JSON data and shown as textContent, never
// as markup.

import type { AuditResult } from '../audit/result.ts'
import { PAGE_SCRIPT } from './audit-html-script.ts'
import { htmlPage } from './html-page.ts'

/** The page. */
export function auditHtml(result: AuditResult): string {
  return htmlPage({
    title: `Import floor of ${result.entries.map((e) => e.name).join(', ')}`,
    style: PAGE_STYLE,
    header: '<p id="figures"></p><ul id="notes"></ul>',
    main: MAIN,
    noScript: 'This page needs JavaScript; it loads nothing from other sites.',
    data: result,
    script: PAGE_SCRIPT,
  })
}

const MAIN = `<main>
<section aria-labelledby="parts-title"><h2 id="parts-title">Composition</h2><div id="parts"></div></section>
<section aria-labelledby="savings-title"><h2 id="savings-title">Proven savings</h2><ol id="savings"></ol></section>
<section aria-labelledby="icicle-title">
<h2 id="icicle-title">Retained memory</h2>
<p class="hint">Below each module are the modules that only it keeps loaded. Click or Enter zooms in, Escape goes back, arrow keys move.</p>
<nav id="crumbs" aria-label="path to the top of the chart"></nav>
<div id="icicle" role="tree" aria-label="modules by retained memory"></div>
</section>
<section aria-labelledby="table-title">
<h2 id="table-title">Modules</h2>
<p><label>Search <input id="search" type="search" autocomplete="off" placeholder="name, package or kind"></label>
<label><input id="grouped" type="checkbox"> by package</label> <span id="count" role="status"></span></p>
<table><thead><tr id="heads"></tr></thead><tbody id="rows"></tbody></table>
</section>
</main>
<aside id="detail" aria-live="polite" hidden></aside>`

const PAGE_STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #5c6570; --line: #d5dae0; --own: #b9d4f5; --package: #f6d7a7; --builtin: #cfe6c5; --accent: #0b57d0; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
:root { --back: #16191d; --text: #e6e9ed; --soft: #9aa4b0; --line: #343b44; --own: #1f4a7c; --package: #6b4a15; --builtin: #2f5726; --accent: #8ab4f8; --bad: #f2b8b5; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1rem 1.5rem 40vh; background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
.hint, #count { color: var(--soft); margin: .2rem 0 .6rem; }
#notes li { color: var(--bad); }
.part { display: grid; grid-template-columns: 11rem 6rem 1fr; gap: .6rem; align-items: center; }
.part b, td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.part b { font-weight: 500; }
.bar { height: .8rem; background: var(--accent); border-radius: 2px; min-width: 1px; }
#savings li { margin: .3rem 0; overflow-wrap: anywhere; }
.failed { color: var(--soft); }
#icicle { position: relative; height: 336px; overflow: hidden; border: 1px solid var(--line); }
#icicle button { position: absolute; height: 27px; padding: 0 4px; border: 1px solid var(--back); border-radius: 3px; font: 12px/25px system-ui, sans-serif; text-align: left; white-space: nowrap; overflow: hidden; color: var(--text); background: var(--own); cursor: pointer; }
#icicle button.package { background: var(--package); }
#icicle button.builtin { background: var(--builtin); }
#icicle button:focus-visible, #rows tr:focus-visible { outline: 3px solid var(--accent); outline-offset: -3px; z-index: 1; }
#crumbs button, th button, #detail button { border: 0; padding: 0; background: none; color: var(--accent); font: inherit; cursor: pointer; text-align: left; overflow-wrap: anywhere; }
#crumbs { min-height: 1.6rem; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: left; overflow-wrap: anywhere; }
th.number, td.number { width: 7.5rem; }
#rows tr { cursor: pointer; }
#rows tr:hover, #rows tr[aria-selected=true] { background: color-mix(in srgb, var(--accent) 14%, transparent); }
input { font: inherit; padding: .2rem .4rem; background: var(--back); color: var(--text); border: 1px solid var(--line); border-radius: 4px; }
input[type=search] { width: min(28rem, 60vw); }
#detail { position: fixed; left: 0; right: 0; bottom: 0; max-height: 38vh; overflow: auto; padding: .8rem 1.5rem; background: var(--back); border-top: 2px solid var(--accent); }
#detail h3 { margin: 0 0 .3rem; font-size: 1rem; overflow-wrap: anywhere; }
#detail p { margin: .25rem 0; overflow-wrap: anywhere; }
`
