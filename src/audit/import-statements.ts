// Finds the import statements of a file: a scanner for import and export statements, import() and require() calls. It
// skips comments, strings, templates and regular expressions. It is not a parser and never fails, because it only has
// to find the line of an edge that is known to exist.

export interface ImportStatement {
  readonly specifier: string
  /** 1-based line of the statement. */
  readonly line: number
  readonly kind: 'static' | 'reexport' | 'dynamic' | 'require'
}

/** All statements with a literal specifier, in source order. */
export function importStatements(source: string): ImportStatement[] {
  const found: ImportStatement[] = []
  const tokens = tokenize(source)
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!
    if (token.kind !== 'word' || tokens[i - 1]?.text === '.') continue
    const statement =
      token.text === 'import'
        ? readImport(tokens, i)
        : token.text === 'export'
          ? readReexport(tokens, i)
          : token.text === 'require'
            ? readCall(tokens, i, 'require')
            : undefined
    if (statement !== undefined) found.push(statement)
  }
  return found
}

/** The line of the statement that imports `specifier`, or undefined. */
export function lineOfImport(source: string, specifier: string): number | undefined {
  return importStatements(source).find((s) => s.specifier === specifier)?.line
}

interface Token {
  readonly kind: 'word' | 'string' | 'mark'
  readonly text: string
  readonly line: number
}

/** Maximum number of tokens between `import` and `from`; barrels list hundreds of names. */
const MAX_CLAUSE = 8000

function readImport(tokens: readonly Token[], at: number): ImportStatement | undefined {
  const next = tokens[at + 1]
  if (next?.text === '(' && next.kind === 'mark') return readCall(tokens, at, 'dynamic')
  if (next?.kind === 'string') return { specifier: next.text, line: tokens[at]!.line, kind: 'static' }
  return readFrom(tokens, at, 'static')
}

function readReexport(tokens: readonly Token[], at: number): ImportStatement | undefined {
  const next = tokens[at + 1]?.text
  return next === '*' || next === '{' || next === 'type' ? readFrom(tokens, at, 'reexport') : undefined
}

/** Finds `from 'x'` before the clause ends: only names, braces, commas and stars may precede it. */
function readFrom(
  tokens: readonly Token[],
  at: number,
  kind: ImportStatement['kind'],
): ImportStatement | undefined {
  for (let i = at + 1; i < Math.min(tokens.length, at + MAX_CLAUSE); i++) {
    const token = tokens[i]!
    if (token.kind === 'mark' && !'{},*'.includes(token.text)) return undefined
    const next = tokens[i + 1]
    if (token.kind === 'word' && token.text === 'from' && next?.kind === 'string')
      return { specifier: next.text, line: tokens[at]!.line, kind }
  }
  return undefined
}

function readCall(
  tokens: readonly Token[],
  at: number,
  kind: ImportStatement['kind'],
): ImportStatement | undefined {
  const [open, argument] = [tokens[at + 1], tokens[at + 2]]
  if (open?.text !== '(' || open.kind !== 'mark' || argument?.kind !== 'string') return undefined
  return { specifier: argument.text, line: tokens[at]!.line, kind }
}

const WORD = /[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*|\d[\w.]*/uy
const BEFORE_REGEX = new Set(
  'return typeof case in of delete void throw new else do instanceof yield await'.split(' '),
)

function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  /** Brace depth in each open template literal: a `}` at depth 0 returns to the template's text. */
  const templates: number[] = []
  let line = 1
  let at = source.startsWith('#!') ? lineEnd(source, 0) : 0
  const advance = (to: number): void => {
    for (let i = source.indexOf('\n', at); i !== -1 && i < to; i = source.indexOf('\n', i + 1)) line++
    at = to
  }
  while (at < source.length) {
    const c = source[at]!
    const two = source.slice(at, at + 2)
    if (c === '\n' || c === ' ' || c === '\t' || c === '\r') advance(at + 1)
    else if (two === '//') advance(lineEnd(source, at))
    else if (two === '/*') advance(after(source, '*/', at + 2))
    else if (c === '"' || c === "'") {
      const end = endOfString(source, at, c)
      tokens.push({ kind: 'string', text: unquote(source.slice(at + 1, end - 1)), line })
      advance(end)
    } else if (c === '`' || (c === '}' && templates.at(-1) === 0)) {
      if (c === '}') templates.pop()
      const { end, opened } = endOfTemplate(source, at + 1)
      if (opened) templates.push(0)
      else if (c === '`') tokens.push({ kind: 'string', text: source.slice(at + 1, end - 1), line })
      else tokens.push({ kind: 'mark', text: '`', line })
      advance(end)
    } else if (c === '/' && startsRegex(tokens.at(-1))) {
      tokens.push({ kind: 'mark', text: 'regex', line })
      advance(endOfRegex(source, at))
    } else {
      WORD.lastIndex = at
      const word = WORD.exec(source)?.[0]
      if (templates.length > 0 && c === '{') templates[templates.length - 1]! += 1
      if (templates.length > 0 && c === '}') templates[templates.length - 1]! -= 1
      tokens.push(word === undefined ? { kind: 'mark', text: c, line } : { kind: 'word', text: word, line })
      advance(at + (word ?? c).length)
    }
  }
  return tokens
}

function startsRegex(previous: Token | undefined): boolean {
  if (previous === undefined) return true
  if (previous.kind === 'string') return false
  if (previous.kind === 'word') return BEFORE_REGEX.has(previous.text)
  return ![')', ']', '}', '`', 'regex'].includes(previous.text)
}

function lineEnd(source: string, from: number): number {
  const end = source.indexOf('\n', from)
  return end === -1 ? source.length : end
}

function after(source: string, mark: string, from: number): number {
  const end = source.indexOf(mark, from)
  return end === -1 ? source.length : end + mark.length
}

function endOfString(source: string, start: number, quote: string): number {
  let i = start + 1
  while (i < source.length && source[i] !== quote && source[i] !== '\n') i += source[i] === '\\' ? 2 : 1
  return Math.min(source.length, i + 1)
}

function endOfTemplate(source: string, start: number): { end: number; opened: boolean } {
  let i = start
  while (i < source.length) {
    if (source[i] === '\\') i += 2
    else if (source[i] === '`') return { end: i + 1, opened: false }
    else if (source[i] === '$' && source[i + 1] === '{') return { end: i + 2, opened: true }
    else i++
  }
  return { end: source.length, opened: false }
}

function endOfRegex(source: string, start: number): number {
  let inClass = false
  for (let i = start + 1; i < source.length; i++) {
    const c = source[i]
    if (c === '\n') return start + 1 // it was a division
    if (c === '\\') i++
    else if (c === '[') inClass = true
    else if (c === ']') inClass = false
    else if (c === '/' && !inClass) return i + 1
  }
  return start + 1
}

function unquote(text: string): string {
  return text.replace(/\\(.)/gs, '$1')
}
