-- Decides before routing what becomes of a request: whether it is mirrored, and which tags of the caller's stay.
--
-- It goes first in the filter chain of the listener that callers reach. Its settings are the `filter_context` of the
-- virtual host (see envoy.yaml):
--
--   share      the share of requests that is mirrored, 0 to 1
--   mirrored   which are mirrored at all: a method, or a method and a prefix of the path
--   expect     whom a mirrored request is sent to, as the live record's `expect` says it
--
-- The same id always gets the same answer, on every proxy. Headers with tags are stripped by Envoy itself
-- (`internal_only_headers`); what is left for this script is the members of `baggage`.

local bit = require("bit")
local bxor, band, rshift = bit.bxor, bit.band, bit.rshift

local CRC = {}
for index = 0, 255 do
  local value = index
  for _ = 1, 8 do
    value = band(value, 1) == 1 and bxor(rshift(value, 1), 0xEDB88320) or rshift(value, 1)
  end
  CRC[index] = value
end

-- The place of an id between 0 and 1: its CRC-32, spread by Knuth's multiplicative constant. The same function as
-- `gnomon.core.sampling.place`, so that what the collector samples lies within what is mirrored.
local function place(id)
  local crc = -1
  for index = 1, #id do
    crc = bxor(CRC[band(bxor(crc, id:byte(index)), 0xFF)], rshift(crc, 8))
  end
  crc = bit.bnot(crc)
  local high, low = rshift(crc, 16), band(crc, 0xFFFF)
  -- crc * 2654435761 modulo 2^32, in two halves that doubles hold exactly
  local spread = ((high * 2654435761 % 65536) * 65536 + low * 2654435761) % 4294967296
  return spread / 4294967296
end

local function is_mirrored(headers, mirrored, share)
  local id, method = headers:get("x-request-id"), headers:get(":method")
  if not id or headers:get("upgrade") or method == "CONNECT" then return false end
  local path = headers:get(":path") or ""
  for _, entry in ipairs(mirrored) do
    local wanted, prefix = entry:match("^(%S+)%s*(.*)$")
    if wanted == method and path:sub(1, #prefix) == prefix then return place(id) < share end
  end
  return false
end

-- A member whose name is no token (RFC 9110, section 5.6.2) is taken for one too: another parser may trim what is odd.
local function is_tag(member)
  local name = member:match("^%s*([^=;%s]*)"):lower()
  return name:find("[^%w!#$%%&'*+.^_`|~-]") ~= nil or name == "synthetic" or name == "as-of" or name == "as_of" or name:sub(1, 5) == "flag."
end

local function strip_baggage(headers)
  local kept, found = {}, false
  for index = 0, headers:getNumValues("baggage") - 1 do
    for member in (headers:getAtIndex("baggage", index) or ""):gmatch("[^,]+") do
      if is_tag(member) then found = true else kept[#kept + 1] = member end
    end
  end
  if not found then return end
  headers:remove("baggage")
  if #kept > 0 then headers:add("baggage", table.concat(kept, ",")) end
end

function envoy_on_request(handle)
  local headers, context = handle:headers(), handle:filterContext()
  if headers:get("x-envoy-internal") ~= "true" then strip_baggage(headers) end
  local share = tonumber(context:get("share")) or 1
  local mirrored = is_mirrored(headers, context:get("mirrored") or {}, share)
  local expect = mirrored and context:get("expect") or {}
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("gnomon", "mirrored", mirrored)
  metadata:set("gnomon", "expect", table.concat(expect, ","))
  -- The route was chosen before this was known
  if mirrored then handle:clearRouteCache() end
end
