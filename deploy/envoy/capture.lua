-- Hands what an exchange consists of to Envoy's gRPC access log: headers, bodies and trailers, as dynamic metadata.
--
-- It goes last in the filter chain, just before the router, of every listener whose exchanges are recorded: it sees the
-- request as the service gets it and the response as the service gave it. Bodies stream through: a chunk is copied and
-- goes on at once. `gnomon collect` reads what is written here:
--
--   request, response, trailers     headers as lines, name and value in turn, in base64
--   request_body, response_body     the first LIMIT bytes, in base64
--   request_size, response_size     the bytes of the whole body, where it was longer than LIMIT
--   request_hash, response_hash     the hash of the whole body then: XXH64 with seed 0, 16 hexadecimal digits
--
-- Base64 because a protobuf string is UTF-8 and traffic need not be. A body that is cut off in the middle (the caller
-- went away) is there as far as it was last written: after 1, 2, 4, 8 ... chunks' worth of bytes.

local LIMIT = 262144 -- keep it at or above collect.body_bytes
local NAMESPACE = "gnomon"

local ffi = require("ffi")
local bit = require("bit")

-- XXH64 (Yann Collet's specification, version 0.1.1), over chunks of any size. On little-endian machines only, as all
-- that Envoy is built for are.
local P1, P2, P3 = 0x9E3779B185EBCA87ULL, 0xC2B2AE3D27D4EB4FULL, 0x165667B19E3779F9ULL
local P4, P5 = 0x85EBCA77C2B2AE63ULL, 0x27D4EB2F165667C5ULL
local rol, rshift, bxor = bit.rol, bit.rshift, bit.bxor
local words = ffi.typeof("const uint64_t *")
local halves = ffi.typeof("const uint32_t *")
local octets = ffi.typeof("const uint8_t *")

local function new_hash()
  return { a = P1 + P2, b = P2, c = 0ULL, d = 0ULL - P1, rest = "", total = 0 }
end

local function feed(hash, chunk)
  hash.total = hash.total + #chunk
  if #hash.rest > 0 then chunk = hash.rest .. chunk end
  local a, b, c, d = hash.a, hash.b, hash.c, hash.d
  local word = ffi.cast(words, chunk)
  local stripes = math.floor(#chunk / 32)
  for index = 0, stripes * 4 - 1, 4 do
    a = rol(a + word[index] * P2, 31) * P1
    b = rol(b + word[index + 1] * P2, 31) * P1
    c = rol(c + word[index + 2] * P2, 31) * P1
    d = rol(d + word[index + 3] * P2, 31) * P1
  end
  hash.a, hash.b, hash.c, hash.d = a, b, c, d
  hash.rest = chunk:sub(stripes * 32 + 1)
end

local function merge(digest, lane)
  return bxor(digest, rol(lane * P2, 31) * P1) * P1 + P4
end

local function finish(hash)
  local digest = P5
  if hash.total >= 32 then
    digest = rol(hash.a, 1) + rol(hash.b, 7) + rol(hash.c, 12) + rol(hash.d, 18)
    digest = merge(merge(merge(merge(digest, hash.a), hash.b), hash.c), hash.d)
  end
  digest = digest + hash.total
  local rest, at = hash.rest, 0
  while at + 8 <= #rest do
    local word = ffi.cast(words, ffi.cast(octets, rest) + at)[0]
    digest = rol(bxor(digest, rol(word * P2, 31) * P1), 27) * P1 + P4
    at = at + 8
  end
  if at + 4 <= #rest then
    local half = ffi.cast(halves, ffi.cast(octets, rest) + at)[0]
    digest = rol(bxor(digest, half * P1), 23) * P2 + P3
    at = at + 4
  end
  while at < #rest do
    digest = rol(bxor(digest, rest:byte(at + 1) * P5), 11) * P1
    at = at + 1
  end
  digest = bxor(digest, rshift(digest, 33)) * P2
  digest = bxor(digest, rshift(digest, 29)) * P3
  digest = bxor(digest, rshift(digest, 32))
  return bit.tohex(digest)
end

local function lines(headers)
  local parts, count = {}, 0
  for name, value in pairs(headers) do
    parts[count + 1], parts[count + 2] = name, value
    count = count + 2
  end
  return table.concat(parts, "\n")
end

local function put(handle, key, value)
  handle:streamInfo():dynamicMetadata():set(NAMESPACE, key, value)
end

local function take_body(handle, side)
  local parts, count, total, written = {}, 0, 0, 0
  local hash
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 then
      local bytes = chunk:getBytes(0, length)
      local before = total
      total = total + length
      if before < LIMIT then
        count = count + 1
        parts[count] = total <= LIMIT and bytes or bytes:sub(1, LIMIT - before)
      end
      if total > LIMIT then
        if not hash then
          hash = new_hash()
          feed(hash, table.concat(parts))
          bytes = bytes:sub(LIMIT - before + 1)
        end
        feed(hash, bytes)
      end
      if before < LIMIT and total >= 2 * written then
        put(handle, side .. "_body", handle:base64Escape(table.concat(parts)))
        written = math.min(total, LIMIT)
      end
    end
  end
  if math.min(total, LIMIT) > written then put(handle, side .. "_body", handle:base64Escape(table.concat(parts))) end
  if hash then
    put(handle, side .. "_size", total)
    put(handle, side .. "_hash", finish(hash))
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  put(handle, "request", handle:base64Escape(lines(headers)))
  -- What follows an upgrade is no body: it is passed through and not recorded
  if headers:get("upgrade") or headers:get(":method") == "CONNECT" then return end
  take_body(handle, "request")
end

function envoy_on_response(handle)
  local headers = handle:headers()
  put(handle, "response", handle:base64Escape(lines(headers)))
  if headers:get(":status") == "101" then return end
  take_body(handle, "response")
  local trailers = handle:trailers()
  if trailers then put(handle, "trailers", handle:base64Escape(lines(trailers))) end
end
