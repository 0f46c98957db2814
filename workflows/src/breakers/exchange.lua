-- keys: the records of one gateway's breakers, and what was counted. Arguments: how long both are kept, the first slice
-- that still counts, how many records come; of each its operation, its version and itself; then of each count its place and how much it is.
-- The record with more moves is kept; of two with as many, the first. Answers the time, whose records were written, and
-- everything that is kept.
local kept_ms, first_slice, records = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local written, at = {}, 4
for _ = 1, records do
    local operation, version, record = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
    local reads, known = pcall(cjson.decode, redis.call('hget', KEYS[1], operation) or '')
    local moves = reads and type(known) == 'table' and tonumber(known.version)
    if not moves or moves < version then
        redis.call('hset', KEYS[1], operation, record)
        written[#written + 1] = operation
    end
    at = at + 3
end
while at < #ARGV do
    redis.call('hset', KEYS[2], ARGV[at], ARGV[at + 1])
    at = at + 2
end
local counts = {}
local all = redis.call('hgetall', KEYS[2])
for i = 1, #all, 2 do
    local slice = tonumber(string.match(all[i], '^(-?%d+)|'))
    if slice and slice >= first_slice then
        counts[#counts + 1] = all[i]
        counts[#counts + 1] = all[i + 1]
    else
        redis.call('hdel', KEYS[2], all[i])
    end
end
redis.call('pexpire', KEYS[1], kept_ms)
redis.call('pexpire', KEYS[2], kept_ms)
local time = redis.call('time')
return { time[1] * 1000 + math.floor(time[2] / 1000), written, redis.call('hgetall', KEYS[1]), counts }
