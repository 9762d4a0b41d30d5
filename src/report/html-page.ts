// The frame of byre's HTML pages: each is self-contained, works from file://, and its policy forbids loading anything.
// Text of a measured program is escaped, or inserted as JSON data that the page's script shows as text, never as
// markup.

export interface Page {
  readonly title: string
  readonly style: string
  /** Markup, below the title. */
  readonly header: string
  /** Markup. */
  readonly main: string
  /** Shown when scripts are disabled. */
  readonly noScript: string
  readonly data: unknown
  readonly script: string
}

export function htmlPage({ title, style, header, main, noScript, data, script }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeText(title)}</title>
<style>${style}</style>
</head>
<body>
<header><h1>${escapeText(title)}</h1>${header}</header>
${main}
<noscript>${noScript}</noscript>
<script type="application/json" id="data">${escapeJson(data)}</script>
<script>${script}</script>
</body>
</html>
`
}

/** JSON that cannot end the surrounding script element. */
function escapeJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll('<', '\\u003c')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029')
}

export function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
