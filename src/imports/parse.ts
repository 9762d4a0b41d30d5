// The imports of one file: those of ES modules by es-module-lexer, which reads TypeScript too, and calls of require() by acorn,
// because cjs-module-lexer reports only what a CommonJS module exports again.

import { extname } from 'node:path'
import type { Node } from 'acorn'

/** How Node resolves a specifier: by the condition `import`, or by `require`. */
export type ImportMode = 'import' | 'require'

export interface FileImports {
  /** Literal specifiers, with duplicates. */
  readonly specifiers: readonly (readonly [specifier: string, mode: ImportMode])[]
  /** It also loads files whose names it computes, or it could not be read: it may load any file. */
  readonly open: boolean
  /** The value of its last `sourceMappingURL`. */
  readonly sourceMap: string | undefined
}

export type ParseImports = (source: string, file: string) => FileImports

/** The imports of a longer CommonJS file are found by a regular expression: a syntax tree takes about 50 times its length. */
const TREE_MAX_LENGTH = 3_000_000

/** Files that import nothing. */
const LEAF = /\.(?:json|node|wasm|html|css|txt|md)$/

/** Loads the parsers. */
export async function openParser(): Promise<ParseImports> {
  const [{ init, parse: lex }, { parse: parseTree }] = await Promise.all([
    import('es-module-lexer'),
    import('acorn'),
  ])
  await init()

  const readTree = (source: string, sourceType: 'module' | 'script'): Node | undefined => {
    if (source.length > TREE_MAX_LENGTH) return undefined
    try {
      return parseTree(source, {
        ecmaVersion: 'latest',
        sourceType,
        allowHashBang: true,
        allowReturnOutsideFunction: true,
      })
    } catch {
      return undefined // TypeScript, JSX
    }
  }

  const readModule = (source: string): Found & { readonly isModule: boolean } => {
    const found: Found = { specifiers: [], open: false }
    const [imports, , , isModule] = lex(source)
    for (const each of imports) {
      if (each.type === 'import-meta' || ('typeOnly' in each && each.typeOnly)) continue
      if (each.specifier === undefined || ('glob' in each && each.glob)) found.open = true
      else found.specifiers.push([each.specifier, 'import'])
    }
    return { ...found, isModule }
  }

  const readCalls = (source: string, isModule: boolean, found: Found): void => {
    if (!(isModule ? CREATES_REQUIRE : CALLS_REQUIRE).test(source)) return
    const tree = readTree(source, isModule ? 'module' : 'script')
    if (tree === undefined) readCallsByText(source, found)
    else readCallsOfTree(tree, found)
  }

  return (source, file) => {
    if (LEAF.test(file)) return NOTHING
    const sourceMap = sourceMapOf(source)
    try {
      const { isModule, ...found } = readModule(source)
      readCalls(source, isModule || extname(file) === '.mjs', found)
      return { ...found, sourceMap }
    } catch {
      return { specifiers: [], open: true, sourceMap } // the lexer found a syntax error
    }
  }
}

const NOTHING: FileImports = { specifiers: [], open: false, sourceMap: undefined }

interface Found {
  readonly specifiers: [specifier: string, mode: ImportMode][]
  open: boolean
}

const CALLS_REQUIRE = /require/i
const CREATES_REQUIRE = /\bcreateRequire\b|\b_+require\b/
const CALL = /\brequire\s*\(\s*(?:(['"`])([^'"`\n]{1,512})\1\s*\))?/g

/** Over-reports: a match may be in a comment or a string. */
function readCallsByText(source: string, found: Found): void {
  for (const [, , specifier] of source.matchAll(CALL)) {
    if (specifier === undefined) found.open = true
    else found.specifiers.push([specifier, 'require'])
  }
}

/** The members of a node of the tree (estree) that are read here. */
interface Tree {
  readonly type: string
  readonly callee?: Tree
  readonly arguments?: readonly Tree[]
  readonly name?: string
  readonly object?: Tree
  readonly property?: Tree
  readonly id?: Tree
  readonly init?: Tree | null
  readonly value?: unknown
  readonly quasis?: readonly { readonly value: { readonly cooked?: string } }[]
}

function readCallsOfTree(root: Node, found: Found): void {
  const calls: Tree[] = []
  /** `const load = createRequire(import.meta.url)` */
  const created = new Set<string>()
  const nodes: unknown[] = [root]
  for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
    if (!isTree(node)) continue
    if (node.type === 'CallExpression') calls.push(node)
    if (node.type === 'VariableDeclarator' && node.id?.name !== undefined && isCreateRequire(node.init))
      created.add(node.id.name)
    for (const member of Object.values(node)) {
      if (!Array.isArray(member)) nodes.push(member ?? false)
      else for (const element of member as unknown[]) nodes.push(element ?? false)
    }
  }
  for (const { callee, arguments: [first] = [] } of calls) {
    if (callee === undefined || first === undefined || !isRequire(callee, created)) continue
    const specifier = literalOf(first)
    if (specifier === undefined) found.open = true
    else found.specifiers.push([specifier, 'require'])
  }
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && typeof (value as { type?: unknown }).type === 'string'
}

function isRequire(callee: Tree, created: ReadonlySet<string>): boolean {
  if (callee.type === 'CallExpression') return isCreateRequire(callee)
  if (callee.type === 'MemberExpression')
    return callee.object?.name === 'module' && callee.property?.name === 'require'
  return callee.name !== undefined && (/^_*require$/.test(callee.name) || created.has(callee.name))
}

function isCreateRequire(node: Tree | null | undefined): boolean {
  const { callee } = node ?? {}
  return callee?.name === 'createRequire' || callee?.property?.name === 'createRequire'
}

function literalOf({ type, value, quasis = [] }: Tree): string | undefined {
  if (type === 'Literal') return typeof value === 'string' ? value : undefined
  return type === 'TemplateLiteral' && quasis.length === 1 ? quasis[0]?.value.cooked : undefined
}

const MAP_MARK = 'sourceMappingURL='

function sourceMapOf(source: string): string | undefined {
  const at = source.lastIndexOf(MAP_MARK)
  if (at === -1) return undefined
  return /^\S*/.exec(source.slice(at + MAP_MARK.length))?.[0] || undefined
}
