-- Running limits as they are now, where the last turn of a tenant or an API key said otherwise. Who is not named has none.
-- Who has no turn here and no limit is left out: its next turn says it. ARGV: owner -> limit (MessagePack).
local wanted, owners = {}, {}

local function note(owner, limit)
  if not wanted[owner] then table.insert(owners, owner) end
  wanted[owner] = wanted[owner] or limit
end

for owner, limit in pairs(cmsgpack.unpack(ARGV[1])) do note(owner, limit) end
for _, owner in ipairs(redis.call('HKEYS', key('max_running'))) do note(owner, 0) end
table.sort(owners)

local changed = 0
for _, owner in ipairs(owners) do
  local here = limit_of(owner) or redis.call('EXISTS', key('wait:', owner), key('apart:', owner), key('running:', owner)) > 0
  if here and set_limit(owner, wanted[owner]) then
    changed = changed + 1
    local t = first_of(owner)
    if t then
      if t.key == owner then mark_all(t) end
      if place(t.tenant) or redis.call('EXISTS', key('apart:', t.tenant)) == 1 then ring() end
    end
  end
end
return changed
