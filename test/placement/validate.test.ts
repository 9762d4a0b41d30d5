// Which lines of a child are valid, and which end it.
import t from 'tap'
import { whyInvalid } from '../../src/placement/wire/validate.ts'
import { parse } from '../../src/base/json.ts'
import type { WireLine } from '../../src/placement/wire/protocol.ts'

const EXIT = '{"verdict":"done","text":"","evidence":{}}'
const LEFT = '{"timers":[],"listeners":["exit"],"servers":[],"handles":[]}'

t.test('lines of byre are valid', async (t) => {
  for (const text of [
    '["hello",1,42]',
    '["hello",1,42,43]',
    '["hello",1,42,null]',
    '["loaded",{"ms":12.5,"rssBytes":1}]',
    '["loaded",{"ms":12.5,"unavailable":{"rssBytes":"why"}}]',
    '["ready"]',
    `["ended",{"exit":${EXIT},"leftovers":${LEFT}}]`,
    `["charged",${EXIT}]`,
    '["fault",{"name":"Error","message":"","stack":""}]',
    '["log",{"level":30,"msg":"text"}]',
    '["lvl","debug"]',
    '["idle",true]',
    '["heap",{"usedBytes":1,"totalBytes":2,"externalBytes":0,"limitBytes":4}]',
    '["heartbeat",7]',
    '["profile",1,{}]',
    '["s",1,"orders.>",{"buffer":1,"overflow":"fail"}]',
    '["u",1]',
    '["a",1]',
    '["g",1,0]',
    '["l",1,9]',
    '["c",1,"publish","topic",{"any":[null]}]',
    '["something new",null]',
  ])
    t.equal(whyInvalid(parse(text) as WireLine), undefined, text)
})

t.test('values of another type are invalid', async (t) => {
  for (const text of [
    '["hello"]',
    '["hello","1",42]',
    '["hello",1,42,"43"]',
    '["loaded",12.5]',
    '["loaded",{"ms":"soon"}]',
    '["loaded",{"unavailable":{"ms":1}}]',
    '["ended",{"exit":{"verdict":"done","text":"","evidence":{},"needs":1},"leftovers":{"timers":[],"listeners":[],"servers":[],"handles":[]}}]',
    '["ended",null]',
    '["ended",{}]',
    `["ended",{"exit":${EXIT}}]`,
    `["ended",{"exit":${EXIT},"leftovers":{"timers":[],"listeners":[]}}]`,
    `["ended",{"exit":${EXIT},"leftovers":{"timers":[{}],"listeners":[],"servers":[],"handles":[]}}]`,
    '["charged"]',
    '["charged",{"verdict":"well","text":"","evidence":{}}]',
    '["charged",{"verdict":"constructor","text":"","evidence":{}}]',
    '["charged",{"verdict":"done","text":1,"evidence":{}}]',
    '["charged",{"verdict":"done","text":"","evidence":[]}]',
    '["fault"]',
    '["log",null]',
    '["log",[]]',
    '["lvl",30]',
    '["heap",null]',
    '["heap",{"usedBytes":1}]',
    '["heartbeat",{}]',
    '["s",1]',
    '["s",{},">",{}]',
    '["s",1,">",null]',
    '["u"]',
    '["a",[]]',
    '["g",null,1]',
    '["g",0,1.5]',
    '["l",0,-1]',
    '["c",1]',
    '["c","1","publish"]',
  ])
    t.match(whyInvalid(parse(text) as WireLine), /^a line '.*' has invalid values$/, text)
})

t.test('invalid numbers that arrive by structured clone are invalid too', async (t) => {
  for (const posted of [
    ['heartbeat', Number.NaN],
    ['g', 1, Number.POSITIVE_INFINITY],
    ['loaded', 1n],
  ])
    t.type(whyInvalid(posted as unknown as WireLine), 'string')
})
