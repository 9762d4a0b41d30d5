// A trie of patterns, one level per token: finds every pattern that covers a topic in time that depends on the topic, not
// on the number of patterns. Made for many patterns that seldom change, so nodes are small: a node holds a single literal
// child directly and uses a Map from the second on; likewise a single value, and an array from the second on.

/** Pairs of a pattern and a value. Values are compared by identity and must not be arrays. Patterns must be valid. */
export class PatternTrie<T extends object> {
  #root = new Node<T>('')
  #size = 0

  /** Number of pairs. */
  get size(): number {
    return this.#size
  }

  /** Number of nodes including the root, so 1 when the trie is empty. Walks the trie. */
  get nodes(): number {
    return countNodes(this.#root)
  }

  add(pattern: string, value: T): void {
    let node = this.#root
    let from = 0
    for (;;) {
      const end = pattern.indexOf('.', from)
      const token = pattern.slice(from, end === -1 ? pattern.length : end)
      if (end === -1 && token === '>') {
        node.rest = plus(node.rest, value)
        break
      }
      node = token === '*' ? (node.star ??= new Node<T>('*')) : literalChild(node, token)
      if (end === -1) {
        node.here = plus(node.here, value)
        break
      }
      from = end + 1
    }
    this.#size++
  }

  /** Removes one pair and the nodes that only it used; false when the pair is not in the trie. */
  remove(pattern: string, value: T): boolean {
    if (!removeBelow(this.#root, pattern, 0, value)) return false
    this.#size--
    return true
  }

  clear(): void {
    this.#root = new Node<T>('')
    this.#size = 0
  }

  /** Appends to `found` the value of each pattern that covers `topic`, in no particular order. */
  match(topic: string, found: T[]): void {
    if (this.#size > 0) collect(this.#root, topic, 0, found)
  }
}

class Node<T extends object> {
  readonly token: string
  /** Children by literal token. */
  children: Node<T> | Map<string, Node<T>> | undefined = undefined
  /** The child for `*`. */
  star: Node<T> | undefined = undefined
  /** Values of patterns that end here. */
  here: T | T[] | undefined = undefined
  /** Values of patterns that end with `>` below this node. */
  rest: T | T[] | undefined = undefined

  constructor(token: string) {
    this.token = token
  }
}

function isEmpty<T extends object>(node: Node<T>): boolean {
  return (
    node.children === undefined &&
    node.star === undefined &&
    node.here === undefined &&
    node.rest === undefined
  )
}

function findChild<T extends object>(node: Node<T>, token: string): Node<T> | undefined {
  const children = node.children
  if (children instanceof Node) return children.token === token ? children : undefined
  return children?.get(token)
}

function literalChild<T extends object>(node: Node<T>, token: string): Node<T> {
  const known = findChild(node, token)
  if (known !== undefined) return known
  const child = new Node<T>(token)
  const children = node.children
  if (children === undefined) node.children = child
  else if (children instanceof Node) node.children = new Map([children, child].map((n) => [n.token, n]))
  else children.set(token, child)
  return child
}

function dropChild<T extends object>(node: Node<T>, child: Node<T>): void {
  if (node.star === child) node.star = undefined
  else if (node.children instanceof Map) {
    node.children.delete(child.token)
    if (node.children.size === 0) node.children = undefined
  } else node.children = undefined
}

/** Recurses once per token: at most 128 times, since a pattern has at most 256 characters. */
function removeBelow<T extends object>(node: Node<T>, pattern: string, from: number, value: T): boolean {
  const end = pattern.indexOf('.', from)
  const token = pattern.slice(from, end === -1 ? pattern.length : end)
  if (end === -1 && token === '>') {
    if (!holds(node.rest, value)) return false
    node.rest = minus(node.rest, value)
    return true
  }
  const child = token === '*' ? node.star : findChild(node, token)
  if (child === undefined) return false
  if (end !== -1) {
    if (!removeBelow(child, pattern, end + 1, value)) return false
  } else {
    if (!holds(child.here, value)) return false
    child.here = minus(child.here, value)
  }
  if (isEmpty(child)) dropChild(node, child)
  return true
}

function collect<T extends object>(node: Node<T>, topic: string, from: number, found: T[]): void {
  if (node.rest !== undefined) append(node.rest, found)
  const end = topic.indexOf('.', from)
  if (node.star !== undefined) descend(node.star, topic, end, found)
  if (node.children === undefined) return
  const child = findChild(node, topic.slice(from, end === -1 ? topic.length : end))
  if (child !== undefined) descend(child, topic, end, found)
}

function descend<T extends object>(node: Node<T>, topic: string, end: number, found: T[]): void {
  if (end !== -1) collect(node, topic, end + 1, found)
  else if (node.here !== undefined) append(node.here, found)
}

function append<T extends object>(values: T | T[], found: T[]): void {
  if (!Array.isArray(values)) found.push(values)
  else for (const value of values) found.push(value)
}

function plus<T extends object>(values: T | T[] | undefined, value: T): T | T[] {
  if (values === undefined) return value
  if (!Array.isArray(values)) return [values, value]
  values.push(value)
  return values
}

function holds<T extends object>(values: T | T[] | undefined, value: T): boolean {
  return Array.isArray(values) ? values.includes(value) : values === value
}

function minus<T extends object>(values: T | T[] | undefined, value: T): T | T[] | undefined {
  if (!Array.isArray(values)) return undefined
  values.splice(values.indexOf(value), 1)
  return values.length === 1 ? values[0] : values
}

function countNodes<T extends object>(node: Node<T>): number {
  const { children, star } = node
  const literals = children instanceof Map ? [...children.values()] : children === undefined ? [] : [children]
  return [...literals, ...(star === undefined ? [] : [star])].reduce((sum, n) => sum + countNodes(n), 1)
}
