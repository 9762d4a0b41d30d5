// The Lua scripts of a lease. On the server a lease is a key with the holder and its expiry, and the last fence.

/** KEYS: lease, fence. ARGV: holder, ttl (ms). Returns [1, fence], or [0, ms until the lease expires]. The fence also grows
 *  when its counter is lost, because it is at least the server's time in microseconds. */
export const ACQUIRE = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[1])} end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local fence = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, fence}`

/** KEYS: lease. ARGV: holder, ttl (ms). Returns 1, or 0 when the holder does not hold the lease. */
export const RENEW = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`

/** KEYS: lease. ARGV: holder. */
export const RELEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`
