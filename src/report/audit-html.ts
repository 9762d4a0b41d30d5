// An audit as one page that needs nothing else: figures, an icicle of retained memory, a table to search and sort, and
// per module its chain, what it alone keeps loaded, and what was proven. Works offline, from file://, by keyboard, in
// dark and in light. All text of the program goes in as JSON data and comes out as textContent, never as markup.

import type { AuditResult } from '../audit/result.ts'
import { PAGE_SCRIPT } from './audit-html-script.ts'
import { PAGE_STYLE } from './audit-html-style.ts'
import { htmlPage } from './html-page.ts'

/** The page. */
export function auditHtml(result: AuditResult): string {
  return htmlPage({
    title: `Import floor of ${result.entries.map((e) => e.name).join(', ')}`,
    style: PAGE_STYLE,
    header: '<p id="figures"></p><ul id="notes"></ul>',
    main: MAIN,
    noScript: 'This page draws itself with its own script; nothing is loaded from elsewhere.',
    data: result,
    script: PAGE_SCRIPT,
  })
}

const MAIN = `<main>
<section aria-labelledby="parts-title"><h2 id="parts-title">What it is made of</h2><div id="parts"></div></section>
<section aria-labelledby="savings-title"><h2 id="savings-title">Proven savings</h2><ol id="savings"></ol></section>
<section aria-labelledby="icicle-title">
<h2 id="icicle-title">Retained memory</h2>
<p class="hint">Each row holds what the row above alone keeps loaded. Click or Enter looks closer, Escape goes back, arrows move.</p>
<nav id="crumbs" aria-label="where the picture starts"></nav>
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
