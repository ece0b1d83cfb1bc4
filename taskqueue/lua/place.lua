-- Where a waiting turn stands. Nothing of one that does not wait; of a suspect nobody can foretell when a worker suits it.
local t = load(ARGV[1])
if not t or t.state ~= 'waiting' then return {} end
if t.apart > 0 then blob = false end
return place_of(t)
