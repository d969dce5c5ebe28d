"""The steps that must be atomic on a Redis server, as Lua.

A counter that does not exist starts at the server's clock in milliseconds, not at 0: fencing
numbers and versions then keep growing even when the server lost its data, and no reader takes a
new state for an old one.
"""

_NEXT = """
local function following(counter)
  if redis.call('EXISTS', counter) == 0 then
    redis.call('SET', counter, redis.call('TIME')[1] .. '000')
  end
  return redis.call('INCR', counter)
end
"""

# KEYS: key, counter. ARGV: value, time to live in ms (0: none).
PUT_COUNTED = (
    _NEXT
    + """
if tonumber(ARGV[2]) > 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
else
  redis.call('SET', KEYS[1], ARGV[1])
end
return following(KEYS[2])
"""
)

# KEYS: key, counter. Returns how many keys were removed.
DELETE_COUNTED = (
    _NEXT
    + """
local removed = redis.call('DEL', KEYS[1])
following(KEYS[2])
return removed
"""
)

# KEYS: key, its greatest fence. ARGV: value, fence. Returns the greatest fence that has written.
PUT_FENCED = """
local greatest = redis.call('GET', KEYS[2])
if greatest and tonumber(greatest) > tonumber(ARGV[2]) then
  return tonumber(greatest)
end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('SET', KEYS[1], ARGV[1])
return tonumber(ARGV[2])
"""

# KEYS: lease, counter of its numbers. ARGV: holder, time to live in ms, a number to stay above (the
# clock may be behind that of a server this one replaced). The lease's value is "NUMBER HOLDER".
# Returns the number, or false (nil) when another holds the lease.
ACQUIRE_LEASE = (
    _NEXT
    + """
local lease = redis.call('GET', KEYS[1])
if not lease then
  local number = following(KEYS[2])
  if number <= tonumber(ARGV[3]) then
    number = tonumber(ARGV[3]) + 1
    redis.call('SET', KEYS[2], string.format('%.0f', number))
  end
  redis.call('SET', KEYS[1], string.format('%.0f %s', number, ARGV[1]), 'PX', ARGV[2])
  return number
end
local number, holder = string.match(lease, '^(%d+) (.*)$')
if holder ~= ARGV[1] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return tonumber(number)
"""
)

# KEYS: lease. ARGV: holder.
RELEASE_LEASE = """
local lease = redis.call('GET', KEYS[1])
if lease and string.match(lease, '^%d+ (.*)$') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
"""
