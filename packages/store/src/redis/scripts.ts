// Every script is atomic, and every key it touches stands in one slot. Columns are the fields of a hash.

/** KEYS claim, unfinished · ARGV id, binding, maxAttempts, claimId, leaseUntil, submission, committed, holder, then fields and values of a new claim. */
export const claimScript = `
local now = redis.call('HMGET', KEYS[1], 'state', 'binding', 'attempts', 'claim_id', 'epoch')
if not now[1] then
  redis.call('HSET', KEYS[1], unpack(ARGV, 9))
  redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
  return { 1 }
end
-- The same request came twice: its first answer was lost on the way.
if now[1] == 'claimed' and now[4] == ARGV[4] then return { 1, redis.call('HGETALL', KEYS[1]) } end
if now[1] ~= 'open' or now[2] ~= ARGV[2] or tonumber(now[3]) >= tonumber(ARGV[3]) then return { 0, redis.call('HGETALL', KEYS[1]) } end
redis.call('HSET', KEYS[1], 'state', 'claimed', 'claim_id', ARGV[4], 'lease_until', ARGV[5])
if ARGV[8] ~= '' then redis.call('HSET', KEYS[1], 'holder', ARGV[8]) end
if redis.call('HEXISTS', KEYS[1], 'response_status') == 0 then redis.call('HSET', KEYS[1], 'submission', ARGV[6]) end
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'committed', ARGV[7]) end
redis.call('HINCRBY', KEYS[1], 'attempts', 1)
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
return { 1, redis.call('HGETALL', KEYS[1]) }`

/** KEYS claim, unfinished, ended, settled, vouched · ARGV id, state, epoch, next state, leaseUntil, deadAfter, then fields and values. */
export const updateScript = `
local now = redis.call('HMGET', KEYS[1], 'state', 'epoch')
if now[1] ~= ARGV[2] or now[2] ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
local word = redis.call('HMGET', KEYS[1], 'settled_at', 'vouched_by')
if word[1] then redis.call('ZADD', KEYS[4], word[1], ARGV[1]) end
if word[2] and word[2] ~= '' then
  redis.call('SADD', KEYS[5], ARGV[1])
  if ARGV[4] == 'delivered' or ARGV[4] == 'failed' then redis.call('ZREM', KEYS[2], ARGV[1]); return 1 end
else
  redis.call('SREM', KEYS[5], ARGV[1])
end
if ARGV[4] == 'delivered' or ARGV[4] == 'failed' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[1])
else
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
end
return 1`

/** KEYS claim, unfinished, ended, settled · ARGV id, epoch. Forgets a claim that has not changed since. */
export const removeScript = `
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return redis.call('DEL', KEYS[1])`

/** KEYS claim · ARGV epoch, secret. */
export const secretScript = `
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then redis.call('HSET', KEYS[1], 'secret', ARGV[2]) end
return 1`

/** KEYS value · ARGV value. Keeps the first value and gives it. */
export const firstScript = `
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])`

/** KEYS value · ARGV value. Deletes the value if it is still this one. */
export const forgetScript = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

/** KEYS list · ARGV id, epoch. Takes a claim off the list unless it was put there again at a later epoch. */
export const unlistScript = `
local epoch = redis.call('HGET', KEYS[1], ARGV[1])
if epoch and tonumber(epoch) <= tonumber(ARGV[2]) then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0`

/** KEYS purse · ARGV version, id, value ('' takes the id out). Changes a purse that nobody has changed since it was read. */
export const purseScript = `
if (redis.call('HGET', KEYS[1], '') or '0') ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[1], '', 1)
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[2]) else redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) end
return 1`

// Lua counts in doubles, so amounts are decimal text of one width, added and taken away in parts that a double holds exactly.
const arithmetic = `
local width, part = 96, 12
local function wide(text) return string.rep('0', width - #text) .. text end
local function sum(a, b, sign)
  local parts, carry = {}, 0
  for i = width - part + 1, 1, -part do
    local value = tonumber(string.sub(a, i, i + part - 1)) + sign * tonumber(string.sub(b, i, i + part - 1)) + carry
    carry = 0
    if value < 0 then value = value + 1e12; carry = -1 elseif value >= 1e12 then value = value - 1e12; carry = 1 end
    table.insert(parts, 1, string.format('%012.0f', value))
  end
  return table.concat(parts)
end
local function field(key, name) return redis.call('HGET', key, name) or wide('') end`

/** KEYS reservation, scopes… · ARGV amount, limits… (all of 96 digits). Gives 0, or the number of the scope that is full. */
export const reserveScript = `${arithmetic}
if redis.call('EXISTS', KEYS[1]) == 1 then return { 0 } end
for i = 2, #KEYS do
  local used = sum(field(KEYS[i], 'reserved'), field(KEYS[i], 'committed'), 1)
  if sum(used, ARGV[1], 1) > ARGV[i] then return { i - 1, used } end
end
for i = 2, #KEYS do redis.call('HSET', KEYS[i], 'reserved', sum(field(KEYS[i], 'reserved'), ARGV[1], 1)) end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[1] .. ':scopes', unpack(KEYS, 2))
return { 0 }`

/** KEYS reservation · ARGV 'committed' or ''. */
export const endScript = `${arithmetic}
local amount = redis.call('GET', KEYS[1])
if not amount then return 0 end
for _, scope in ipairs(redis.call('LRANGE', KEYS[1] .. ':scopes', 0, -1)) do
  redis.call('HSET', scope, 'reserved', sum(field(scope, 'reserved'), amount, -1))
  if ARGV[1] ~= '' then redis.call('HSET', scope, ARGV[1], sum(field(scope, ARGV[1]), amount, 1)) end
end
redis.call('DEL', KEYS[1], KEYS[1] .. ':scopes')
return 1`

/** KEYS view, views · ARGV epoch before (0 for none), expires, then fields and values. */
export const putViewScript = `
if (redis.call('HGET', KEYS[1], 'epoch') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('ZADD', KEYS[2], ARGV[2], KEYS[1])
return 1`

/** KEYS view, views · ARGV before. Forgets a grant that has not been prolonged since. */
export const forgetViewScript = `
if tonumber(redis.call('ZSCORE', KEYS[2], KEYS[1]) or ARGV[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[2], KEYS[1])
return redis.call('DEL', KEYS[1])`

// A server that starts anew, or takes over, may have an older row than it had: one that was brought in before is nobody's.
const serverRun = `local function server() return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') end`

/** KEYS channel, waiting · ARGV name. The row as fields and values, unless this server may have forgotten what became of it. */
export const readHotScript = `${serverRun}
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
if redis.call('HGET', KEYS[1], 'server') == server() then return redis.call('HGETALL', KEYS[1]) end
redis.call('SREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
return {}`

/** KEYS channel, waiting · ARGV milliseconds it stays unchanged, then fields and values. Brings a row in, unless it is there. */
export const loadHotScript = `${serverRun}
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'server', server(), unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1`

/** KEYS channel, waiting · ARGV epoch before, name, then fields and values. */
export const changeHotScript = `${serverRun}
local now = redis.call('HMGET', KEYS[1], 'epoch', 'server')
if now[1] ~= ARGV[1] or now[2] ~= server() then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('PERSIST', KEYS[1])
redis.call('SADD', KEYS[2], ARGV[2])
return 1`

/** KEYS channel, waiting · ARGV epoch, name, milliseconds it stays. It is written down as it stands, unless it has changed since. */
export const flushedHotScript = `
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('SREM', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`

/** KEYS channel, waiting · ARGV epoch, name. */
export const dropHotScript = `
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('SREM', KEYS[2], ARGV[2])
return redis.call('DEL', KEYS[1])`
