// The style of the page of a measurement.

export const PAGE_STYLE = `
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #5c6570; --line: #d5dae0; --accent: #0b57d0; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
:root { --back: #16191d; --text: #e6e9ed; --soft: #9aa4b0; --line: #343b44; --accent: #8ab4f8; --bad: #f2b8b5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem 1.5rem 3rem; background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); margin: .2rem 0 .6rem; overflow-wrap: anywhere; }
.bad { color: var(--bad); }
.headline { font-size: 1.15rem; margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: left; overflow-wrap: anywhere; vertical-align: top; }
th { white-space: nowrap; overflow-wrap: normal; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { overflow-x: auto; }
.chart { position: relative; margin: .5rem 0; }
.chart svg { display: block; width: 100%; height: 320px; }
.chart text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.axis { stroke: var(--line); stroke-width: 1; }
.cursor { stroke: var(--text); stroke-width: 1; stroke-dasharray: 3 3; }
.current { fill: none; stroke: var(--text); stroke-width: 1.5; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 0; padding: 0; list-style: none; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .35rem; vertical-align: -1px; }
.tabs button { font: inherit; padding: .2rem .7rem; border: 1px solid var(--line); background: none; color: var(--text); cursor: pointer; }
.tabs button[aria-pressed=true] { background: var(--accent); border-color: var(--accent); color: var(--back); }
button:focus-visible, svg:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.tip { min-height: 2.8em; color: var(--soft); font-variant-numeric: tabular-nums; }
`
