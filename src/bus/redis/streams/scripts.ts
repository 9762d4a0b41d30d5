// The Lua scripts of durable streams. Each script is atomic, so that a job is always in exactly one place: undelivered,
// pending for a consumer, waiting for its retry, delayed, or in the dead-letter stream.

import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

export interface Script {
  readonly text: string
  readonly sha: string
}

/** Runs `script` by its hash; the text is sent once per server. */
export async function runScript(
  client: Redis,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await client.evalsha(script.sha, keys.length, ...keys, ...args)
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
    return client.eval(script.text, keys.length, ...keys, ...args)
  }
}

export function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/** Milliseconds of the server's clock, which all hosts share. */
const NOW = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`

/** The consumer of entries that wait for their retry. */
const RETRY_CONSUMER = '-'

/** Approximate number of entries that a dead-letter stream keeps. */
const DEAD_MAX = 100_000

/** `deadLetter(id, count, reason)` moves an entry to the dead-letter stream and removes it from the group. */
const DEAD_LETTER = `
local deadLettered = {}
local function deadLetter(id, count, reason)
  local entry = redis.call('XRANGE', jobs, id, id)[1]
  if entry then
    local fields = {'g', group, 'r', reason, 'n', count, 'e', id}
    for _, part in ipairs(entry[2]) do fields[#fields + 1] = part end
    redis.call('XADD', dead, 'MAXLEN', '~', ${DEAD_MAX}, '*', unpack(fields))
    deadLettered[#deadLettered + 1] = {id, count, reason}
  end
  redis.call('XACK', jobs, group, id)
end`

/**
 * KEYS: jobs, delayed, then a key for each dedupeId. ARGV: most jobs, lifetime of a dedupeId (ms), then for each job its
 * payload, delay (ms), id (of a delayed job) and the index of its dedupe key, or 0. Returns the id of each job, nil when the
 * stream was full.
 */
export const ENQUEUE: Script = script(`${NOW}
local limit, window = tonumber(ARGV[1]), ARGV[2]
local length = redis.call('XLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2])
local ids = {}
for i = 3, #ARGV, 4 do
  local delay, dedupe = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 3])
  local known = dedupe > 0 and redis.call('GET', KEYS[2 + dedupe])
  local id = known
  if not known and length < limit then
    length = length + 1
    if delay > 0 then
      id = ARGV[i + 2]
      redis.call('ZADD', KEYS[2], now + delay, id .. ' ' .. ARGV[i])
    else
      id = redis.call('XADD', KEYS[1], '*', 'p', ARGV[i])
    end
    if dedupe > 0 then redis.call('SET', KEYS[2 + dedupe], id, 'PX', window) end
  end
  ids[#ids + 1] = id or false
end
return ids`)

/** Turns delayed jobs that are due into entries, at most 100 per run. */
const PROMOTE = `
for _, member in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, 100)) do
  local at = string.find(member, ' ', 1, true)
  redis.call('XADD', jobs, '*', 'p', string.sub(member, at + 1), 'i', string.sub(member, 1, at - 1))
  redis.call('ZREM', delayed, member)
end`

/** Sets `due`: milliseconds until the next delayed job or retry; -1 when there is none. */
const DUE = `
local due = -1
for _, key in ipairs({delayed, retry}) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if first[2] then
    local wait = math.max(0, math.ceil(first[2] - now))
    if due < 0 or wait < due then due = wait end
  end
end`

/**
 * Maintains the pending entries of a group on behalf of one of its readers. KEYS: jobs, delayed, retry, dead. ARGV: group,
 * consumer, room for jobs, idle time after which a consumer counts as dead (ms), most deliveries, id from which to scan for
 * entries of dead consumers, 1 to trim, then the entries that the reader holds.
 * Resets the idle time of the held entries. Entries that are pending for the reader but not held were lost in transit and
 * become due for a retry. Claims due retries and entries of dead consumers, oldest first. Trims entries that every group has
 * acked. Returns the claimed entries [id, fields, deliveries], the dead-lettered entries [id, deliveries, reason], the ms
 * until the next entry is due, and the id to scan from next time.
 * XAUTOCLAIM is not used: it does not return the delivery count, and it also claims entries that wait for their retry.
 */
export const MAINTAIN: Script = script(`${NOW}
local jobs, delayed, retry, dead = unpack(KEYS)
local group, me, room, idle, max = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local from, trim, held, taken = ARGV[6], ARGV[7], {}, {}
${DEAD_LETTER}
${PROMOTE}
for i = 8, #ARGV do held[ARGV[i]] = true end
for _, p in ipairs(redis.call('XPENDING', jobs, group, '-', '+', 4000, me)) do
  if held[p[1]] then
    redis.call('XCLAIM', jobs, group, me, 0, p[1], 'JUSTID')
  else
    redis.call('XCLAIM', jobs, group, '${RETRY_CONSUMER}', 0, p[1], 'JUSTID')
    redis.call('ZADD', retry, now, p[1])
  end
end
local function take(id, count, reason)
  if count >= max then return deadLetter(id, count, reason) end
  local entry = redis.call('XCLAIM', jobs, group, me, 0, id)[1]
  if entry then taken[#taken + 1] = {entry[1], entry[2], count + 1} end
end
if room > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', retry, '-inf', now, 'LIMIT', 0, room)) do
    redis.call('ZREM', retry, id)
    local p = redis.call('XPENDING', jobs, group, id, id, 1)[1]
    if p then take(id, p[4], 'its reader released it without ack or nack') end
  end
  local page = redis.call('XPENDING', jobs, group, 'IDLE', idle, from, '+', 200)
  from = '-'
  for i, p in ipairs(page) do
    if #taken >= room then break end
    if not redis.call('ZSCORE', retry, p[1]) then
      take(p[1], p[4], 'every reader that received it died or lost it')
    end
    if i == 200 then from = '(' .. p[1] end
  end
end
if trim == '1' then
  local least, leastMs, leastN
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', jobs)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    local pending = redis.call('XPENDING', jobs, fields['name'])
    local id = pending[1] > 0 and pending[2] or fields['last-delivered-id']
    local ms, n = string.match(id, '(%d+)-(%d+)')
    ms, n = tonumber(ms), tonumber(n)
    if not least or ms < leastMs or (ms == leastMs and n < leastN) then least, leastMs, leastN = id, ms, n end
  end
  if least then redis.call('XTRIM', jobs, 'MINID', '~', least, 'LIMIT', 0) end
  for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', jobs, group)) do
    local fields = {}
    for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
    if fields['pending'] == 0 and fields['idle'] > 3600000 then
      redis.call('XGROUP', 'DELCONSUMER', jobs, group, fields['name'])
    end
  end
end
${DUE}
return {taken, deadLettered, due, from}`)

/**
 * KEYS: jobs, retry, dead. ARGV: group, consumer, entry, delay (ms), most deliveries, reason. Returns nil when the entry no
 * longer belongs to the consumer, 0 when it waits for its retry, and its delivery count when it was dead-lettered.
 */
export const NACK: Script = script(`${NOW}
local jobs, retry, dead = unpack(KEYS)
local group, id, max = ARGV[1], ARGV[3], tonumber(ARGV[5])
${DEAD_LETTER}
local p = redis.call('XPENDING', jobs, group, id, id, 1)[1]
if not p or p[2] ~= ARGV[2] then return false end
if p[4] >= max then
  deadLetter(id, p[4], ARGV[6])
  return p[4]
end
redis.call('XCLAIM', jobs, group, '${RETRY_CONSUMER}', 0, id, 'JUSTID')
redis.call('ZADD', retry, now + tonumber(ARGV[4]), id)
return 0`)

/**
 * Releases entries of a reader, so that other readers get them at once, and removes its consumer when nothing is pending.
 * KEYS: jobs, retry. ARGV: group, consumer, then for each entry its id, and 1 if the delivery does not count because the
 * worker has not received the job, or 0.
 */
export const RELEASE: Script = script(`${NOW}
local jobs, retry = unpack(KEYS)
local group, me = ARGV[1], ARGV[2]
for i = 3, #ARGV, 2 do
  local id = ARGV[i]
  local p = redis.call('XPENDING', jobs, group, id, id, 1)[1]
  if p and p[2] == me then
    local count = p[4] - tonumber(ARGV[i + 1])
    redis.call('XCLAIM', jobs, group, '${RETRY_CONSUMER}', 0, id, 'RETRYCOUNT', count, 'JUSTID')
    redis.call('ZADD', retry, now, id)
  end
end
if #redis.call('XPENDING', jobs, group, '-', '+', 1, me) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', jobs, group, me)
end
return 0`)

/**
 * Checks whether a reader of the group would find jobs. KEYS: jobs, delayed, retry. ARGV: group, idle time (ms). Returns 1
 * or 0, the group's position (a string that changes with each delivery and each ack), and ms until the next entry is due.
 */
export const PEEK: Script = script(`${NOW}
local jobs, delayed, retry = unpack(KEYS)
local group = ARGV[1]
${PROMOTE}
local newest, last, pending = redis.call('XREVRANGE', jobs, '+', '-', 'COUNT', 1)[1], nil, nil
for _, info in ipairs(redis.call('XINFO', 'GROUPS', jobs)) do
  local fields = {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  if fields['name'] == group then last, pending = fields['last-delivered-id'], fields['pending'] end
end
if not last then return redis.error_reply('NOGROUP no such group') end
local work = newest ~= nil and newest[1] ~= last
if work then
  local ms, n = string.match(newest[1], '(%d+)-(%d+)')
  local lastMs, lastN = string.match(last, '(%d+)-(%d+)')
  ms, n, lastMs, lastN = tonumber(ms), tonumber(n), tonumber(lastMs), tonumber(lastN)
  work = ms > lastMs or (ms == lastMs and n > lastN)
end
if not work then work = #redis.call('ZRANGEBYSCORE', retry, '-inf', now, 'LIMIT', 0, 1) > 0 end
if not work then
  for _, p in ipairs(redis.call('XPENDING', jobs, group, 'IDLE', ARGV[2], '-', '+', 200)) do
    if not redis.call('ZSCORE', retry, p[1]) then work = true break end
  end
end
${DUE}
return {work and 1 or 0, last .. ' ' .. pending, due}`)
