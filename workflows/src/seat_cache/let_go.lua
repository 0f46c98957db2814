-- keys: seats; arguments: the hold, how long a version lasts. Gives back what was taken and not committed.
for _, key in ipairs(KEYS) do
    local known = redis.call('get', key)
    if known then
        local version, kind, owner = string.match(known, '^(%d+)|(%a)|(.*)$')
        if kind == 'p' and owner == ARGV[1] then
            redis.call('set', key, version .. '|f|', 'px', ARGV[2])
        end
    end
end
