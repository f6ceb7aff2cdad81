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

local byte, sub, num, band = string.byte, string.sub, struct.unpack, bit.band
local n = byte(new, 5) + 256 * byte(new, 6)
local b = math.floor((n + 7) / 8)
local t = num('<i8', new, 13 + 2 * b)
if sub(old, 1, 12 + b) == sub(new, 1, 12 + b) then
  if t < num('<i8', old, 13 + 2 * b) then return -1 end
  redis.call('SET', key, new, 'PX', px)
  return 0
end
if byte(old, 1) ~= 1 then return redis.error_reply('ROWFORMAT unknown row format') end
local on, ok = byte(old, 5) + 256 * byte(old, 6), byte(old, 7) + 256 * byte(old, 8)
local ob = math.floor((on + 7) / 8)
local newest = num('<i8', old, 13 + 2 * ob)
if byte(new, 2) == 1 and n >= on and t >= newest then
  redis.call('SET', key, new, 'PX', px)
  return 0
end

-- Where the parts of both rows are.
local ow = num('<I4', old, 9)
local vals, ovals = 21 + 2 * b, 21 + 2 * ob
local iw = on > 256 and 2 or 1
local oindex = ovals + ow
local otimes = oindex + (ok > 0 and iw * on or 0)
local tail, otail = vals + num('<I4', new, 9), otimes + 8 * ok
local function old_time(i)
  local at = oindex + i * iw
  local which = byte(old, at)
  if iw == 2 then which = which + 256 * byte(old, at + 1) end
  return (num('<i8', old, otimes + 8 * which))
end

-- Cell by cell, eight to a byte of the bitmaps. Values are copied in runs out of one row.
local m = n > on and n or on
local widths = {byte(ARGV[3], 1, 2 * n)}
local known, null, fixed, strings = {}, {}, {}, {}
local src, start, run, at = nil, 0, 0, 0
local times, count, slot, index = {}, 0, {}, {}
local taken, stale, complete, last = 0, 0, 1, t
for j = 0, math.floor((m - 1) / 8) do
  local nk = j < b and byte(new, 13 + j) or 0
  local kk = j < ob and byte(old, 13 + j) or 0
  local mask, flag = 0, 1
  for i = 8 * j, math.min(8 * j + 7, m - 1) do
    local mine, time = false, nil
    if band(kk, flag) ~= 0 then time = ok == 0 and newest or old_time(i) end
    if band(nk, flag) ~= 0 then
      if not time or t >= time then
        mine, time = true, t
        mask = mask + flag
        taken = taken + 1
      else
        stale = stale + 1
      end
    end
    if i < n then
      local from = (mine or i >= on) and new or old
      if from ~= src then
        if src then fixed[#fixed + 1] = sub(src, start + run, start + at - 1) end
        src, run = from, at
        start = from == new and vals or ovals
      end
      local w = widths[2 * i + 1] + 256 * widths[2 * i + 2]
      if w == 0 then
        w = 4
        local nl = num('<I4', new, vals + at)
        local ol = i < on and num('<I4', old, ovals + at) or 0
        if mine then strings[#strings + 1] = sub(new, tail, tail + nl - 1)
        elseif ol > 0 then strings[#strings + 1] = sub(old, otail, otail + ol - 1) end
        tail, otail = tail + nl, otail + ol
      end
      at = at + w
    end
    if time then
      local s = slot[time]
      if not s then
        s, count = count, count + 1
        slot[time], times[count] = s, struct.pack('<i8', time)
        if time > last then last = time end
      end
      index[i + 1] = s
    else
      complete, index[i + 1] = 0, 0
    end
    flag = flag * 2
  end
  local nn = j < b and byte(new, 13 + b + j) or 0
  local kn = j < ob and byte(old, 13 + ob + j) or 0
  known[j + 1] = string.char(bit.bor(kk, nk))
  null[j + 1] = string.char(bit.bor(band(kn, bit.bnot(mask)), band(nn, mask)))
end
if taken == 0 then return -1 end
fixed[#fixed + 1] = sub(src, start + run, start + at - 1)
if on > n then
  -- What only the stored row has follows in one piece.
  fixed[#fixed + 1] = sub(old, ovals + at, ovals + ow - 1)
  strings[#strings + 1] = sub(old, otail)
end

local version = math.max(num('<I2', old, 3), num('<I2', new, 3))
local body = table.concat(fixed)
local row = {
  struct.pack('<BBI2I2I2I4', 1, complete, version, m, count > 1 and count or 0, #body),
  table.concat(known), table.concat(null), struct.pack('<i8', last), body,
}
if count > 1 then
  if m > 256 then
    for i = 1, m do
      index[i] = string.char(index[i] % 256, math.floor(index[i] / 256))
    end
    row[6] = table.concat(index)
  else
    row[6] = string.char(unpack(index))
  end
  row[7] = table.concat(times)
end
row[#row + 1] = table.concat(strings)
if last > t then px = string.format('%.0f', px + math.floor((last - t) / 1000)) end
redis.call('SET', key, table.concat(row), 'PX', px)
return stale
""")
