-- keys: seats; arguments, four for each: version, kind, owner, milliseconds. What is older is passed over.
for i, key in ipairs(KEYS) do
    local version, kind, owner, ttl = ARGV[i * 4 - 3], ARGV[i * 4 - 2], ARGV[i * 4 - 1], ARGV[i * 4]
    local known = redis.call('get', key)
    local known_version, known_kind, known_owner = '0', 'f', ''
    if known then
        known_version, known_kind, known_owner = string.match(known, '^(%d+)|(%a)|(.*)$')
    end
    if tonumber(known_version) <= tonumber(version) then
        if kind == 'f' and known_kind == 'p' then
            -- free in Postgres, and somebody is on the way there: theirs for as long as they have
            redis.call('set', key, version .. '|p|' .. known_owner, 'keepttl')
        else
            redis.call('set', key, version .. '|' .. kind .. '|' .. owner, 'px', ttl)
        end
    end
end
