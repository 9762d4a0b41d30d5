// An audit as one page that needs nothing else: figures, an icicle of retained memory, a table to search and sort, and
// per module its chain, what it alone keeps loaded, and what was proven. Works offline, from file://, by keyboard, in
// dark and in light. All text of the program goes in as JSON data and comes out as textContent, never as markup.

import type { AuditResult } from '../audit/result.ts'
import { escapeJson, escapeText } from './html-escape.ts'
import { PAGE_SCRIPT } from './audit-html-script.ts'
import { PAGE_STYLE } from './audit-html-style.ts'

/** The page. */
export function auditHtml(result: AuditResult): string {
  const title = `Import floor of ${result.entries.map((e) => e.name).join(', ')}`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeText(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header><h1>${escapeText(title)}</h1><p id="figures"></p><ul id="notes"></ul></header>
<main>
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
<aside id="detail" aria-live="polite" hidden></aside>
<noscript>This page draws itself with its own script; nothing is loaded from elsewhere.</noscript>
<script type="application/json" id="data">${escapeJson(result)}</script>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`
}
