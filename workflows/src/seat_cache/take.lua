-- keys: the event's marker, then the seats; arguments: the hold, how long to take.
-- Answers whether the marker is there, and which seats (from 1) are somebody else's; takes all or none.
local unavailable, free = {}, {}
for i = 2, #KEYS do
    local known = redis.call('get', KEYS[i])
    local version, kind, owner = '0', 'f', ''
    if known then
        version, kind, owner = string.match(known, '^(%d+)|(%a)|(.*)$')
    end
    if kind == 'f' then
        free[#free + 1] = { KEYS[i], version }
    elseif kind == 's' or owner ~= ARGV[1] then
        unavailable[#unavailable + 1] = i - 1
    end
end
if #unavailable == 0 then
    for _, seat in ipairs(free) do
        redis.call('set', seat[1], seat[2] .. '|p|' .. ARGV[1], 'px', ARGV[2])
    end
end
return { redis.call('exists', KEYS[1]), unavailable }
