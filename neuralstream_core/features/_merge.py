"""The one script that writes rows: compare by event time and merge, cell by cell, atomically.

``KEYS[1]``: the row. ``ARGV[1]``: the row to write, all its known cells of one event time (`_layout`);
``ARGV[2]``: its expiry in milliseconds; ``ARGV[3]``: `Layout.widths`, the widths of the writer's
cells.

Answers how many cells were older than the stored ones and therefore dropped; -1 if all were, and -2 if
the merged row would be too large: in both cases nothing changed, the expiry included. With an empty
``ARGV[1]`` it only tells whether the key exists: a flight of writes ends with that question about the
view's tombstone.

Most writes take one of the first three ways, which look at the head alone: no row yet; the same cells at
one time each; a whole row newer than all that is stored. Event times are exact: a Lua number holds every
integer up to 2^53 µs (the year 2255), and later ones are refused before they come here. A row longer
than the writer's schema keeps the cells that the writer does not know, byte by byte.
"""

from __future__ import annotations

from typing import Final

from neuralstream_core.features._layout import MAX_ROW
from neuralstream_core.redis.port import Script

__all__ = ["ALL_STALE", "MERGE", "TOO_LARGE"]

ALL_STALE: Final = -1
TOO_LARGE: Final = -2

MERGE: Final = Script(
    """\
local key, new, px = KEYS[1], ARGV[1], ARGV[2]
if new == '' then return redis.call('EXISTS', key) end
local old = redis.call('GET', key)
if not old then
  redis.call('SET', key, new, 'PX', px)
  return 0
end

local sub, num = string.sub, struct.unpack
local n = num('<I2', new, 5)
local b = (n + 7 - (n + 7) % 8) / 8
local head, at = 12 + b, 13 + 2 * b
local t = num('<i8', new, at)
if sub(old, 1, head) == sub(new, 1, head) then
  if t < num('<i8', old, at) then return -1 end
  redis.call('SET', key, new, 'PX', px)
  return 0
end

local byte, char, band = string.byte, string.char, bit.band
if byte(old, 1) ~= 1 then return redis.error_reply('ROWFORMAT unknown row format') end
local on, ok = byte(old, 5) + 256 * byte(old, 6), byte(old, 7) + 256 * byte(old, 8)
local ob = math.floor((on + 7) / 8)
local newest = num('<i8', old, 13 + 2 * ob)
if byte(new, 2) == 1 and n >= on and t >= newest then
  redis.call('SET', key, new, 'PX', px)
  return 0
end

-- Where the parts of both rows are.
local m = n > on and n or on
local ow = num('<I4', old, 9)
local vals, ovals = 21 + 2 * b, 21 + 2 * ob
local iw, oiw = m > 255 and 2 or 1, on > 255 and 2 or 1
local oindex = ovals + ow
local otimes = oindex + (ok > 0 and oiw * on or 0)
local tail, otail = vals + num('<I4', new, 9), otimes + 8 * ok

-- The stored times keep their slots; the new one gets the next, unless it is there already.
local times, moment, own = {}, {}, nil
for s = 0, math.max(ok, 1) - 1 do
  local at = ok == 0 and 13 + 2 * ob or otimes + 8 * s
  times[s + 1], moment[s] = sub(old, at, at + 7), num('<i8', old, at)
  if moment[s] == t then own = s end
end
local none = iw == 1 and 255 or 65535
local function slot_of(i)
  if ok == 0 then return 0 end
  local at = oindex + i * oiw
  return byte(old, at) + (oiw == 2 and 256 * byte(old, at + 1) or 0)
end
local function put(s)
  return iw == 1 and char(s) or char(s % 256, math.floor(s / 256))
end
local eight = string.rep(put(0), 8)

-- Eight cells to a byte of the bitmaps. Values are copied in runs out of one row.
local widths = ARGV[3]
local known, null, fixed, strings, index = {}, {}, {}, {}, {}
local src, start, run, at = nil, 0, 0, 0
local taken, stale, complete = 0, 0, 1
for j = 0, math.floor((m - 1) / 8) do
  local lo, hi = 8 * j, math.min(8 * j + 7, m - 1)
  local nk = j < b and byte(new, 13 + j) or 0
  local kk = j < ob and byte(old, 13 + j) or 0
  local mask, flag, skip = 0, 1, 0
  if nk == 0 and iw == oiw and hi == lo + 7 and hi < on and hi < n and (ok > 0 or kk == 255) then
    skip = num('<I4', widths, 2 * n + 4 * j + 1)
  end
  if skip > 0 then
    -- Nothing new among these eight, and no string: they stay as they are.
    if src ~= old then
      if src then fixed[#fixed + 1] = sub(src, start + run, start + at - 1) end
      src, run, start = old, at, ovals
    end
    at = at + skip
    index[#index + 1] = ok == 0 and eight or sub(old, oindex + lo * iw, oindex + hi * iw + iw - 1)
  else
    for i = lo, hi do
      local s = band(kk, flag) ~= 0 and slot_of(i) or none
      local mine = false
      if band(nk, flag) ~= 0 then
        if s == none or t >= moment[s] then
          if not own then
            own = #times
            times[own + 1] = struct.pack('<i8', t)
          end
          mine, s = true, own
          mask = mask + flag
          taken = taken + 1
        else
          stale = stale + 1
        end
      end
      index[#index + 1] = put(s)
      if i < n then
        local from = (mine or i >= on) and new or old
        if from ~= src then
          if src then fixed[#fixed + 1] = sub(src, start + run, start + at - 1) end
          src, run = from, at
          start = from == new and vals or ovals
        end
        local w = byte(widths, 2 * i + 1) + 256 * byte(widths, 2 * i + 2)
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
      flag = flag * 2
    end
  end
  local nn = j < b and byte(new, 13 + b + j) or 0
  local kn = j < ob and byte(old, 13 + ob + j) or 0
  local both = bit.bor(kk, nk)
  if both ~= 2 ^ (hi - lo + 1) - 1 then complete = 0 end
  known[j + 1] = char(both)
  null[j + 1] = char(bit.bor(band(kn, bit.bnot(mask)), band(nn, mask)))
end
if taken == 0 then return -1 end
fixed[#fixed + 1] = sub(src, start + run, start + at - 1)
if on > n then
  -- What only the stored row has follows in one piece.
  fixed[#fixed + 1] = sub(old, ovals + at, ovals + ow - 1)
  strings[#strings + 1] = sub(old, otail)
end

-- Times that no cell has any more give up their slots.
local which, kept, slots = table.concat(index), {}, {}
if iw == 1 then
  for s = 0, #times - 1 do
    if string.find(which, char(s), 1, true) then
      slots[char(s)] = char(#kept)
      kept[#kept + 1] = times[s + 1]
    end
  end
  if #kept < #times then which = string.gsub(which, '.', slots) end
else
  which = string.gsub(which, '..', function(pair)
    if pair == '\255\255' then return end
    if not slots[pair] then
      slots[pair] = put(#kept)
      kept[#kept + 1] = times[byte(pair, 1) + 256 * byte(pair, 2) + 1]
    end
    return slots[pair]
  end)
end

local last = t > newest and t or newest
local version = math.max(num('<I2', old, 3), num('<I2', new, 3))
local body = table.concat(fixed)
local count = #kept > 1 and #kept or 0
local row = table.concat({
  struct.pack('<BBI2I2I2I4', 1, complete, version, m, count, #body),
  table.concat(known), table.concat(null), struct.pack('<i8', last), body,
  count > 0 and which or '', count > 0 and table.concat(kept) or '', table.concat(strings),
})
if #row > MAX_ROW then return -2 end
if last > t then px = string.format('%.0f', px + math.floor((last - t) / 1000)) end
redis.call('SET', key, row, 'PX', px)
return stale
""".replace("MAX_ROW", str(MAX_ROW))
)
