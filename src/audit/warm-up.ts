// Writes modules that bring Node's module loaders to their working size before anything is measured: otherwise about
// 0.6 MB of loader memory (maps, caches, compiled code) is charged to the first package. They are written to a
// temporary folder; the audited project is never changed.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const CJS_COUNT = 400
const ESM_COUNT = 60

/** Writes the files to `folder` (created) and returns the URL to import. */
export function writeWarmUp(folder: string): string {
  const put = (name: string, text: string): void => writeFileSync(join(folder, name), text)
  mkdirSync(join(folder, 'node_modules', 'p'), { recursive: true })
  put('package.json', '{"type":"commonjs"}')
  put('node_modules/p/package.json', '{"name":"p","main":"i.js","exports":{".":"./i.js"}}')
  put('node_modules/p/i.js', 'exports.p=1')
  for (const [name, text] of Object.entries(SPECIMENS)) put(name, text)
  for (let i = 0; i < CJS_COUNT; i++)
    put(`c${i}.cjs`, `'use strict';const n=${i};class K{m(){return n}};exports.K=K;exports.n=n`)
  put('many.cjs', Array.from({ length: CJS_COUNT }, (_, i) => `require('./c${i}.cjs')`).join(';'))
  for (let i = 0; i < ESM_COUNT; i++)
    put(`m${i}.mjs`, `export const v${i}=${i};${i > 0 ? `export * from './m${i - 1}.mjs'` : ''}`)
  return pathToFileURL(join(folder, 'main.mjs')).href
}

const SPECIMENS: Readonly<Record<string, string>> = {
  'main.mjs': `import * as a from './a.mjs'; import b from './b.cjs'; import {x} from './c.cjs'; import fs from 'node:fs';
import path from 'node:path'; import {createRequire} from 'node:module'; export * from './a.mjs'; export * as ns from './d.mjs';
import * as many from './m${ESM_COUNT - 1}.mjs'; import './many.cjs'; export const k=[a,b,x,fs,path,many];
createRequire(import.meta.url)('./b2.cjs'); await import('./e.mjs'); await new Promise((r) => setTimeout(r, 30));`,
  'a.mjs': 'export const a=1; export function f(){return import.meta.url} export default class A{}',
  'd.mjs': `export {a as z} from './a.mjs'; export const d=await Promise.resolve(1);`,
  'e.mjs': 'export const e=2;',
  'b.cjs': `'use strict';const j=require('./j.json');const c=require('./c.cjs');require('p');require('fs');require('node:path');require('util');module.exports={j,c,__esModule:true,default:1}`,
  'c.cjs': `exports.x=1;Object.defineProperty(exports,'__esModule',{value:true});exports.y=require('./b2.cjs');`,
  'b2.cjs': `exports.q=require('./c.cjs');try{require('./nope')}catch{};class Q{};exports.Q=Q;`,
  'j.json': '{"a":[1,2,"x"]}',
}
