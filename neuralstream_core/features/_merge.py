"""The one script that writes rows: compare by event time and merge, cell by cell, atomically.

``KEYS[1]``: the row. ``ARGV[1]``: the row to write, all its known cells of one event time (`_layout`);
``ARGV[2]``: its expiry in milliseconds; ``ARGV[3]``: widths of the writer's cells.

Answers how many cells were older than the stored ones and therefore dropped; -1 if all were, in which
case nothing changed, the expiry included. With an empty ``ARGV[1]`` it only tells whether the key
exists: a flight of writes ends with that question about the view's tombstone.

Most writes take one of the first three ways, which look at the head alone: no row yet; the same cells at
one time each; a whole row newer than all that is stored. Event times are exact: a Lua number holds every
integer up to 2^53 µs (the year 2255), and later ones are refused before they come here. A row longer
than the writer's schema keeps the cells that the writer does not know, byte by byte.
"""

from __future__ import annotations

from typing import Final

from neuralstream_core.redis.port import Script

__all__ = ["ALL_STALE", "MERGE"]

ALL_STALE: Final = -1

MERGE: Final = Script("""\
local key, new, px = KEYS[1], ARGV[1], ARGV[2]
if new == '' then return redis.call('EXISTS', key) end
local old = redis.call('GET', key)
if not old then
  redis.call('SET', key, new, 'PX', px)
  return 0
end

local byte, sub, unpack = string.byte, string.sub, struct.unpack
local n = byte(new, 5) + 256 * byte(new, 6)
local b = math.floor((n + 7) / 8)
local t = unpack('<i8', new, 13 + 2 * b)
if sub(old, 1, 12 + b) == sub(new, 1, 12 + b) then
  if t < unpack('<i8', old, 13 + 2 * b) then return -1 end
  redis.call('SET', key, new, 'PX', px)
  return 0
end
if byte(old, 1) ~= 1 then return redis.error_reply('ROWFORMAT unknown row format') end
local on, ok = byte(old, 5) + 256 * byte(old, 6), byte(old, 7) + 256 * byte(old, 8)
local ob = math.floor((on + 7) / 8)
local newest = unpack('<i8', old, 13 + 2 * ob)
if byte(new, 2) == 1 and n >= on and t >= newest then
  redis.call('SET', key, new, 'PX', px)
  return 0
end

-- Where the parts of the stored row are.
local ow = unpack('<I4', old, 9)
local vals, ovals = 21 + 2 * b, 21 + 2 * ob
local iw = on > 256 and 2 or 1
local oindex = ovals + ow
local otimes = oindex + (ok > 0 and iw * on or 0)
local otail = otimes + 8 * ok
local tail = vals + unpack('<I4', new, 9)
local function old_time(i)
  if ok == 0 then return newest end
  local at = oindex + i * iw
  local which = byte(old, at)
  if iw == 2 then which = which + 256 * byte(old, at + 1) end
  return unpack('<i8', old, otimes + 8 * which)
end

-- Cell by cell; what only the stored row has follows in one piece.
local m = n > on and n or on
local widths, fixed, strings = ARGV[3], {}, {}
local times, count, which, index = {}, 0, {}, {}
local known, null, kbits, nbits = {}, {}, 0, 0
local at, bit1, taken, stale, complete = 0, 1, 0, 0, 1
local last
for i = 0, m - 1 do
  local w, mine = 0, false
  local nbyte, obyte = math.floor(i / 8), math.floor(i / 8)
  local has_old = i < on and bit.band(byte(old, 13 + obyte), bit1) ~= 0
  local time = has_old and old_time(i)
  if i < n then
    w = byte(widths, 2 * i + 1) + 256 * byte(widths, 2 * i + 2)
    local has_new = bit.band(byte(new, 13 + nbyte), bit1) ~= 0
    if has_new then
      mine = not has_old or t >= time
      if mine then taken = taken + 1; time = t else stale = stale + 1 end
    end
    local from, start = old, ovals
    if mine or i >= on then from, start = new, vals end
    if w == 0 then
      local nl = unpack('<I4', new, vals + at)
      local ol = i < on and unpack('<I4', old, ovals + at) or 0
      if mine then strings[#strings + 1] = sub(new, tail, tail + nl - 1)
      elseif ol > 0 then strings[#strings + 1] = sub(old, otail, otail + ol - 1) end
      tail = tail + nl
      otail = otail + ol
      w = 4
    end
    fixed[#fixed + 1] = sub(from, start + at, start + at + w - 1)
    at = at + w
  end
  if mine or has_old then
    kbits = kbits + bit1
    local is_null
    if mine then is_null = bit.band(byte(new, 13 + b + nbyte), bit1)
    else is_null = bit.band(byte(old, 13 + ob + obyte), bit1) end
    nbits = nbits + is_null
    if not which[time] then
      which[time] = count
      count = count + 1
      times[count] = struct.pack('<i8', time)
      if not last or time > last then last = time end
    end
    index[i + 1] = which[time]
  else
    complete = 0
    index[i + 1] = 0
  end
  bit1 = bit1 * 2
  if bit1 == 256 or i == m - 1 then
    known[#known + 1], null[#null + 1] = string.char(kbits), string.char(nbits)
    bit1, kbits, nbits = 1, 0, 0
  end
end
if taken == 0 then return -1 end
if on > n then
  fixed[#fixed + 1] = sub(old, ovals + at, ovals + ow - 1)
  strings[#strings + 1] = sub(old, otail)
end

local version = math.max(unpack('<I2', old, 3), unpack('<I2', new, 3))
local body = table.concat(fixed)
local row = {
  struct.pack('<BBI2I2I2I4', 1, complete, version, m, count > 1 and count or 0, #body),
  table.concat(known), table.concat(null), struct.pack('<i8', last), body,
}
if count > 1 then
  for i = 1, m do
    index[i] = m > 256 and string.char(index[i] % 256, math.floor(index[i] / 256))
      or string.char(index[i])
  end
  row[#row + 1] = table.concat(index)
  row[#row + 1] = table.concat(times)
end
row[#row + 1] = table.concat(strings)
if last > t then px = string.format('%.0f', px + math.floor((last - t) / 1000)) end
redis.call('SET', key, table.concat(row), 'PX', px)
return stale
""")
