-- pre-function, access phase: the key a client presents becomes its SHA-256 before key-auth looks.
--
-- Afterwards the request carries either no key at all, or one `x-api-key` header holding 64 hex digits
-- that this function computed itself. Whatever cannot be a key of ours is refused here, before any
-- look-up: a repeated header, two different ways at once, a wrong length, a wrong prefix, a character
-- outside base62, a wrong checksum, and so also a digest presented in place of a key.
--
-- The sandbox has no `bit`, no `table.concat`, no `setmetatable`; `ngx` is whole. The chunk returns a
-- function, so the modules and constants below are set up once per plugin instance.

local sha256 = require "resty.sha256"
local to_hex = require("resty.string").to_hex

local ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
local KEY_LENGTH = 57 -- mk_live_ or mk_test_ (8), 43 of base62, 6 of checksum
local CHECKSUM_LENGTH = 6
-- headers that only the gateway may set; key-auth overwrites its own, acl's groups header is switched off
local SPOOFABLE = { "x-consumer-groups", "x-authenticated-groups" }

local function checksum(text)
  local rest, digits = ngx.crc32_long(text), ""
  for _ = 1, CHECKSUM_LENGTH do
    local digit = rest % 62
    digits = ALPHABET:sub(digit + 1, digit + 1) .. digits
    rest = (rest - digit) / 62
  end
  return digits
end

local function well_formed(key)
  if #key ~= KEY_LENGTH then
    return false
  end
  local prefix = key:sub(1, 8)
  if prefix ~= "mk_live_" and prefix ~= "mk_test_" then
    return false
  end
  if not key:find("^[0-9A-Za-z]+$", 9) then
    return false
  end
  return checksum(key:sub(1, KEY_LENGTH - CHECKSUM_LENGTH)) == key:sub(KEY_LENGTH - CHECKSUM_LENGTH + 1)
end

-- The key in one Authorization value; nil when the header belongs to the provider's own scheme.
local function bearer_key(value)
  local token = value:match("^[Bb][Ee][Aa][Rr][Ee][Rr][ \t]+(.-)[ \t]*$")
  if token and token:sub(1, 3) == "mk_" then
    return token
  end
end

local function digest(key)
  local hash = sha256:new()
  hash:update(key)
  return to_hex(hash:final())
end

-- Adds what one header holds to `found`, the list of presented keys.
local function collect(found, value, extract)
  if value == nil then
    return false
  end
  local before = #found
  if type(value) ~= "table" then
    value = { value }
  end
  for _, one in ipairs(value) do
    local key = tostring(one)
    if extract then
      key = extract(key)
    end
    if key and key ~= "" then
      found[#found + 1] = key
    end
  end
  return #found > before
end

-- Why nobody is let through at present, from the service's tags: sunset:<unix> (the version is switched off from then on;
-- 0 when no time was named), maintenance:<unix> (until then; 0 when no end was named), closed:suspended.
local function closed_by()
  local service, now = kong.router.get_service(), ngx.time()
  for _, tag in ipairs(service and service.tags or {}) do
    local what, at = tag:match("^(%l+):(%d+)$")
    at = at and tonumber(at)
    if what == "sunset" and now >= at then
      return "sunset", 410
    elseif what == "maintenance" and (at == 0 or now < at) then
      return "maintenance", 503
    elseif tag == "closed:suspended" then
      return "suspended", 503
    end
  end
  return nil
end

return function()
  local headers = kong.request.get_headers()
  local request = kong.service.request
  local found = {}

  local reason, status = closed_by()
  if reason then
    kong.ctx.shared.marketplace_refusal = reason
    kong.ctx.shared.marketplace_closed = status
    if not headers["access-control-request-method"] then
      return kong.response.exit(status, { message = "No calls are let through" })
    end -- cors answers a preflight; what cors takes for none, post_access refuses
  end
  collect(found, headers["x-api-key"])
  collect(found, headers["apikey"])
  if collect(found, headers["authorization"], bearer_key) then
    request.clear_header("authorization")
  end
  request.clear_header("x-api-key")
  request.clear_header("apikey")
  for _, name in ipairs(SPOOFABLE) do
    request.clear_header(name)
  end
  for name in pairs(headers) do
    if name:lower():sub(1, 14) == "x-marketplace-" then
      request.clear_header(name)
    end
  end

  if #found == 0 then
    return -- key-auth answers 401, the header filter says MISSING_API_KEY; a CORS preflight goes on to cors
  end
  kong.ctx.shared.marketplace_key_presented = true
  if #found > 1 then
    kong.ctx.shared.marketplace_refusal = "repeated"
  elseif not well_formed(found[1]) then
    kong.ctx.shared.marketplace_refusal = "malformed"
  else
    request.set_header("x-api-key", digest(found[1]))
    return
  end
  return kong.response.exit(401, { message = "Invalid authentication credentials" })
end
