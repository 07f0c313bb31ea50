-- post-function, access phase: who gets this far is let through to the provider, who is told who calls.
--
-- A key past its expiry is refused although its credential still exists (Kong's own `ttl` would delete the row, and could
-- then only say "invalid"), and so is a call to what is closed (pre_access.lua) which cors took for no preflight.
--
-- A key that is restricted to scopes (its consumer's tags scope:<scope>) needs all that the route asks for: its tags are
-- scopes:<how many> and scope:<scope> for each. acl has seen to "any of them". Without a tag scopes: nobody knows what is
-- asked for, and no restricted key passes.
--
-- The provider's secrets are derived here, from a master in the gateway's environment and the service's tags api:<id>
-- and epoch:<number>: Kong's database holds none. catalog derives the same ones to show them to the provider.

local hmac = require "resty.openssl.hmac"

local MASTER = "{vault://env/upstream-master}"
-- by these some servers take one method for another
local METHOD_OVERRIDES = { "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override" }
-- what of the consumer's tags is told, in the order in which it is signed
local CALLER = {
  { "X-Marketplace-Organisation", "org:" },
  { "X-Marketplace-Subscription", "subscription:" },
  { "X-Marketplace-Plan", "plan:" },
  { "X-Marketplace-Mode", "mode:" },
}

local function tag_value(tags, prefix)
  for _, tag in ipairs(tags or {}) do
    if tag:sub(1, #prefix) == prefix then
      return tag:sub(#prefix + 1)
    end
  end
  return nil
end

local function mac(key, message)
  return (ngx.encode_base64(hmac.new(key, "sha256"):final(message), true):gsub("[+/]", { ["+"] = "-", ["/"] = "_" }))
end

local function character(hex)
  return string.char(tonumber(hex, 16))
end

-- All values of a tag that may stand there more than once, with the escapes undone that a tag needs.
local function tag_values(tags, prefix)
  local found = {}
  for _, tag in ipairs(tags or {}) do
    if tag:sub(1, #prefix) == prefix then
      found[#found + 1] = (tag:sub(#prefix + 1):gsub("%%(%x%x)", character))
    end
  end
  return found
end

local function lacks_scope(held, route)
  if #held == 0 then
    return false
  elseif not tag_value(route and route.tags, "scopes:") then
    return true
  end
  for _, asked in ipairs(tag_values(route.tags, "scope:")) do
    local has = false
    for _, scope in ipairs(held) do
      has = has or scope == asked
    end
    if not has then
      return true
    end
  end
  return false
end

-- Kong would strip all that a route's regex matched. Of a route with the tag prefix:<version> it strips nothing, so the
-- path is made here: what follows /provider/api, or /provider/api/version.
local function strip_prefix(route, service)
  local version = tag_value(route and route.tags, "prefix:")
  if not version then
    return
  end
  local path = kong.request.get_path()
  local rest = path:match("^/[^/]+/[^/]+(.*)$") or ""
  local named = "/" .. version
  if rest == named or rest:sub(1, #named + 1) == named .. "/" then
    rest = rest:sub(#named + 1)
  end
  local base = type(service.path) == "string" and service.path or ""
  kong.service.request.set_path(base .. rest == "" and "/" or base .. rest)
  -- what Kong says where it strips by itself
  ngx.var.upstream_x_forwarded_prefix = path:sub(1, #path - #rest) .. (rest == "" and "" or "/")
end

local derived = {} -- an instance serves one API, so this holds a few entries

local function derive(master, purpose, api, epoch)
  local message = ("upstream\n%s\n%s\n%d"):format(purpose, api, epoch)
  derived[message] = derived[message] or "mks_" .. mac(master, message)
  return derived[message]
end

-- The secret that is sent and the signature of `message`, each under this epoch and, while there is one, the one before.
local function proofs(api, epoch, message)
  local master = kong.vault.get(MASTER)
  if not master or master == "" or not epoch then
    return nil
  end
  local secret, signature
  for number = epoch, math.max(epoch - 1, 1), -1 do
    local signed = "v1=" .. mac(derive(master, "signature", api, number), message)
    signature = signature and signature .. ", " .. signed or signed
    local sent = derive(master, "secret", api, number)
    secret = secret and secret .. ", " .. sent or sent
  end
  return secret, signature
end

local function introduce_caller(scopes)
  local request, consumer, service = kong.service.request, kong.client.get_consumer(), kong.router.get_service()
  local api = tag_value(service and service.tags, "api:")
  if not api or not consumer then
    return
  end
  local at, request_id = ("%.0f"):format(ngx.time()), ngx.var.kong_request_id or ""
  local message = at .. "\n" .. request_id
  for _, told in ipairs(CALLER) do
    local value = tag_value(consumer.tags, told[2]) or ""
    request.set_header(told[1], value)
    message = message .. "\n" .. value
  end
  if #scopes > 0 then
    local told = ""
    for _, scope in ipairs(scopes) do
      told = told == "" and scope or told .. " " .. scope
    end
    request.set_header("X-Marketplace-Scopes", told)
    for _, name in ipairs(METHOD_OVERRIDES) do
      request.clear_header(name)
    end
    message = message .. "\n" .. told
  end
  request.set_header("X-Marketplace-Timestamp", at)
  request.set_header("X-Marketplace-Request-Id", request_id)
  local secret, signature = proofs(api, tonumber(tag_value(service.tags, "epoch:")), message)
  if secret then
    request.set_header("X-Marketplace-Secret", secret)
    request.set_header("X-Marketplace-Signature", signature)
  else -- a copy that the caller sent would otherwise pass for ours
    request.clear_header("X-Marketplace-Secret")
    request.clear_header("X-Marketplace-Signature")
  end
end

-- What rate-limiting has written so far: pre_header_filter takes away what the provider adds to it.
local LIMITS = { "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset" }
for _, window in ipairs({ "Second", "Minute", "Hour", "Day", "Month", "Year" }) do
  LIMITS[#LIMITS + 1] = "X-RateLimit-Limit-" .. window
  LIMITS[#LIMITS + 1] = "X-RateLimit-Remaining-" .. window
end

local function remember_limits()
  local limits = {}
  for _, name in ipairs(LIMITS) do
    limits[name] = ngx.header[name]
  end
  kong.ctx.shared.marketplace_limits = limits
end

return function()
  if kong.ctx.shared.marketplace_closed then
    return kong.response.exit(kong.ctx.shared.marketplace_closed, { message = "No calls are let through" })
  end
  local credential = kong.client.get_credential()
  local expires_at = tonumber(tag_value(credential and credential.tags, "exp:"))
  if expires_at and ngx.time() >= expires_at then
    kong.ctx.shared.marketplace_refusal = "expired"
    return kong.response.exit(401, { message = "Expired authentication credentials" })
  end
  local consumer, route, service = kong.client.get_consumer(), kong.router.get_route(), kong.router.get_service()
  local scopes = tag_values(consumer and consumer.tags, "scope:")
  if lacks_scope(scopes, route) then
    kong.ctx.shared.marketplace_refusal = "scope"
    return kong.response.exit(403, { message = "You cannot consume this service" })
  end
  introduce_caller(scopes)
  strip_prefix(route, service)
  remember_limits()
end
