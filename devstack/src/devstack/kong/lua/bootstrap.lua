-- Builds the sandbox. Called once with the host's functions (`py`) and the modules that may be required.
-- Everything that the sandboxed code can reach is made here; it never gets hold of a host object.
local py, allowed, null = ...

local function from_pairs(flat) -- {"a", 1, "a", 2} -> table with one value or a list of values by name
  local out = {}
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    local held = out[name]
    if held == nil then
      out[name] = value
    elseif type(held) == "table" then
      held[#held + 1] = value
    else
      out[name] = { held, value }
    end
  end
  return out
end

local header_index = {
  __index = function(self, name)
    return type(name) == "string" and rawget(self, (name:lower():gsub("_", "-"))) or nil
  end,
}

local function header_table(flat)
  return setmetatable(from_pairs(flat), header_index)
end

local function text(value)
  if type(value) == "table" then
    local out = {}
    for i, item in ipairs(value) do out[i] = tostring(item) end
    return out
  end
  return tostring(value)
end

-- An exit is an error that no guard of the sandboxed code can hold back. (Kong yields from a coroutine instead;
-- host functions must not be called from one here, so the sandbox has none.)
local EXIT = {}
local function leave() error(EXIT, 0) end

local function pass_exits_on(ok, problem, ...)
  if not ok and problem == EXIT then leave() end
  return ok, problem, ...
end

local function proxy_table(read, write)
  return setmetatable({}, {
    __index = function(_, name) return read(name) end,
    __newindex = function(_, name, value) write(name, value) end,
  })
end

local function concat_arguments(...)
  local out = {}
  for i = 1, select("#", ...) do out[i] = tostring((select(i, ...))) end
  return table.concat(out)
end

local function logger(level)
  return function(...) py.log(level, concat_arguments(...)) end
end

local kong = { version = "3.9.3", version_num = 3009003 }

kong.request = {
  get_scheme = function() return py.var("scheme") end,
  get_host = function() return py.var("host") end,
  get_port = function() return tonumber(py.var("server_port")) end,
  get_forwarded_scheme = function() return py.var("scheme") end,
  get_forwarded_host = function() return py.var("host") end,
  get_forwarded_port = function() return tonumber(py.var("server_port")) end,
  get_forwarded_path = function() return py.raw_path() end,
  get_http_version = function() return 1.1 end,
  get_method = function() return py.var("request_method") end,
  get_path = function() return py.path() end,
  get_raw_path = function() return py.raw_path() end,
  get_path_with_query = function() return py.path_with_query() end,
  get_raw_query = function() return py.raw_query() end,
  get_query_arg = function(name)
    local value = from_pairs(py.query())[name]
    if type(value) == "table" then return value[1] end
    return value
  end,
  get_query = function() return from_pairs(py.query()) end,
  get_header = function(name) return (py.request_header(name)) end,
  get_headers = function() return header_table(py.request_headers()) end,
  get_raw_body = function() return py.request_body() end,
  get_uri_captures = function() return { named = from_pairs(py.captures()), unnamed = {} } end,
}

kong.service = {
  set_target = function(host, port) py.set_target(host, port) end,
  request = {
    set_header = function(name, value) py.set_request_header(name, text(value)) end,
    add_header = function(name, value) py.add_request_header(name, text(value)) end,
    clear_header = function(name) py.clear_request_header(name) end,
    set_headers = function(headers)
      for name, value in pairs(headers) do py.set_request_header(name, text(value)) end
    end,
    set_path = function(path) py.set_upstream_path(path) end,
    set_raw_query = function(query) py.set_raw_query(query) end,
    set_query = function(arguments) py.set_raw_query(py.encode_args(arguments)) end,
    set_method = function(method) py.set_method(method) end,
  },
  response = {
    get_status = function() return py.service_status() end,
    get_header = function(name) return (py.response_header(name)) end,
    get_headers = function() return header_table(py.response_headers()) end,
  },
}

kong.response = {
  get_status = function() return py.status() end,
  get_source = function() return py.source() end,
  get_header = function(name) return (py.response_header(name)) end,
  get_headers = function() return header_table(py.response_headers()) end,
  set_status = function(status) py.set_status(status) end,
  set_header = function(name, value) py.set_response_header(name, text(value)) end,
  add_header = function(name, value) py.add_response_header(name, text(value)) end,
  clear_header = function(name) py.clear_response_header(name) end,
  set_headers = function(headers)
    for name, value in pairs(headers) do py.set_response_header(name, text(value)) end
  end,
  get_raw_body = function() return py.collected_body() end,
  set_raw_body = function(body) py.replace_body(body) end,
  exit = function(status, body, headers)
    py.exit(status, body, headers)
    leave()
  end,
  error = function(status, message, headers)
    py.error(status, message, headers)
    leave()
  end,
}

kong.client = {
  get_ip = function() return py.var("remote_addr") end,
  get_forwarded_ip = function() return py.var("remote_addr") end,
  get_port = function() return tonumber(py.var("remote_port")) end,
  get_forwarded_port = function() return tonumber(py.var("remote_port")) end,
  get_consumer = function() return py.consumer() end,
  get_credential = function() return py.credential() end,
  get_protocol = function() return py.var("scheme") end,
}
kong.router = {
  get_route = function() return py.route() end,
  get_service = function() return py.service() end,
}
kong.ctx = {
  shared = proxy_table(
    function(name) return py.table("shared")[name] end,
    function(name, value) py.table("shared")[name] = value end),
  plugin = proxy_table(
    function(name) return py.table("plugin")[name] end,
    function(name, value) py.table("plugin")[name] = value end),
}
kong.vault = {
  get = function(reference) return py.vault(reference) end,
  is_reference = function(reference) return type(reference) == "string" and reference:match("^{vault://.+}$") ~= nil end,
}
kong.node = { get_id = function() return py.node_id() end }
kong.log = setmetatable({
  set_serialize_value = function(name, value, options)
    py.set_serialize_value(name, value, options and options.mode or "set")
  end,
  serialize = function() return py.serialize() end,
}, { __call = function(_, ...) py.log("notice", concat_arguments(...)) end })
for _, level in ipairs({ "debug", "info", "notice", "warn", "err", "crit", "alert", "emerg" }) do
  kong.log[level] = logger(level)
end

local function digest(algorithm)
  local class = {}
  class.__index = class
  function class.new() return setmetatable({ parts = {} }, class) end
  function class:update(data) self.parts[#self.parts + 1] = data return true end
  function class:final(data)
    if data then self:update(data) end
    return py.digest(algorithm, table.concat(self.parts))
  end
  function class:reset() self.parts = {} return true end
  return class
end

local hmac = {}
hmac.__index = hmac
function hmac.new(key, algorithm)
  return setmetatable({ key = key, algorithm = algorithm or "sha1", parts = {} }, hmac)
end
function hmac:update(...)
  for _, data in ipairs({ ... }) do self.parts[#self.parts + 1] = data end
  return true
end
function hmac:final(data)
  if data then self:update(data) end
  return py.hmac(self.algorithm, self.key, table.concat(self.parts))
end
function hmac:reset() self.parts = {} return true end

local openssl_digest = {}
function openssl_digest.new(algorithm) return setmetatable({ parts = {} }, digest(algorithm or "sha1")) end

local modules = {
  ["resty.sha1"] = digest("sha1"),
  ["resty.sha224"] = digest("sha224"),
  ["resty.sha256"] = digest("sha256"),
  ["resty.sha384"] = digest("sha384"),
  ["resty.sha512"] = digest("sha512"),
  ["resty.md5"] = digest("md5"),
  ["resty.string"] = {
    to_hex = function(data) return py.to_hex(data) end,
    atoi = function(data) return tonumber(data) end,
  },
  ["resty.openssl.hmac"] = hmac,
  ["resty.openssl.digest"] = openssl_digest,
  ["cjson"] = {
    null = null,
    encode = function(value) return (assert(py.json_encode(value))) end,
    decode = function(data) return (assert(py.json_decode(data))) end,
  },
  ["cjson.safe"] = {
    null = null,
    encode = function(value) return py.json_encode(value) end,
    decode = function(data) return py.json_decode(data) end,
  },
}

local function sandboxed_require(name)
  if not allowed[name] then
    error("require '" .. tostring(name) .. "' not allowed within sandbox", 2)
  end
  local module = modules[name]
  if module == nil then error("module '" .. name .. "' is not there in the double of Kong", 2) end
  return module
end

local header = proxy_table(
  function(name) return py.ngx_header((name:gsub("_", "-"))) end,
  function(name, value)
    name = name:gsub("_", "-")
    if value == nil or (type(value) == "table" and #value == 0) then
      py.clear_response_header(name)
    else
      py.set_response_header(name, text(value))
    end
  end)

local ngx = {
  null = null,
  OK = 0, ERROR = -1, AGAIN = -2, DONE = -4, DECLINED = -5,
  STDERR = 0, EMERG = 1, ALERT = 2, CRIT = 3, ERR = 4, WARN = 5, NOTICE = 6, INFO = 7, DEBUG = 8,
  HTTP_OK = 200, HTTP_CREATED = 201, HTTP_ACCEPTED = 202, HTTP_NO_CONTENT = 204, HTTP_BAD_REQUEST = 400,
  HTTP_UNAUTHORIZED = 401, HTTP_FORBIDDEN = 403, HTTP_NOT_FOUND = 404, HTTP_TOO_MANY_REQUESTS = 429,
  HTTP_INTERNAL_SERVER_ERROR = 500, HTTP_BAD_GATEWAY = 502, HTTP_SERVICE_UNAVAILABLE = 503,
  HTTP_GATEWAY_TIMEOUT = 504,
  header = header,
  var = proxy_table(function(name) return py.var(name) end, function(name, value) py.set_var(name, value) end),
  arg = proxy_table(function(name) return py.arg(name) end, function(name, value) py.set_arg(name, value) end),
  ctx = proxy_table(
    function(name) return py.table("ngx")[name] end,
    function(name, value) py.table("ngx")[name] = value end),
  now = function() return py.now() end,
  time = function() return math.floor(py.now()) end,
  update_time = function() end,
  today = function() return py.date("%Y-%m-%d") end,
  utctime = function() return py.date("%Y-%m-%d %H:%M:%S") end,
  localtime = function() return py.date("%Y-%m-%d %H:%M:%S") end,
  http_time = function(seconds) return py.http_time(seconds) end,
  encode_base64 = function(data, no_padding) return py.encode_base64(data, no_padding) end,
  decode_base64 = function(data) return py.decode_base64(data) end,
  md5 = function(data) return py.to_hex(py.digest("md5", data)) end,
  md5_bin = function(data) return py.digest("md5", data) end,
  sha1_bin = function(data) return py.digest("sha1", data) end,
  hmac_sha1 = function(key, data) return py.hmac("sha1", key, data) end,
  crc32_short = function(data) return py.crc32(data) end,
  crc32_long = function(data) return py.crc32(data) end,
  escape_uri = function(data) return py.escape_uri(data) end,
  unescape_uri = function(data) return py.unescape_uri(data) end,
  encode_args = function(arguments) return py.encode_args(arguments) end,
  decode_args = function(data) return from_pairs(py.decode_args(data)) end,
  get_phase = function() return py.phase() end,
  log = function(level, ...) py.log("ngx " .. tostring(level), concat_arguments(...)) end,
  print = function(...) py.say(concat_arguments(...)) end,
  say = function(...) py.say(concat_arguments(...) .. "\n") end,
  exit = function(status)
    py.ngx_exit(status)
    leave()
  end,
  worker = { id = function() return 0 end, pid = function() return 1 end, count = function() return 1 end },
  re = {
    match = function(subject, pattern, options) return py.re_match(subject, pattern, options) end,
    find = function(subject, pattern, options) return py.re_find(subject, pattern, options) end,
    sub = function(subject, pattern, with, options) return py.re_sub(subject, pattern, with, options, 1) end,
    gsub = function(subject, pattern, with, options) return py.re_sub(subject, pattern, with, options, 0) end,
  },
  req = {
    get_method = function() return py.var("request_method") end,
    get_headers = function() return header_table(py.request_headers()) end,
    get_uri_args = function() return from_pairs(py.query()) end,
    set_header = function(name, value)
      if value == nil then py.clear_request_header(name) else py.set_request_header(name, text(value)) end
    end,
    clear_header = function(name) py.clear_request_header(name) end,
    start_time = function() return py.start_time() end,
    http_version = function() return 1.1 end,
  },
}
setmetatable(ngx, {
  __index = function(_, name)
    if name == "status" then return py.status() end
    return nil
  end,
  __newindex = function(self, name, value)
    if name == "status" then py.set_status(value) else rawset(self, name, value) end
  end,
})

local function only(source, names)
  local out = {}
  for name in names:gmatch("%S+") do out[name] = source[name] end
  return out
end

-- No more than the sandboxes of all Kong 3 releases have in common: what runs here runs there.
local STRING = "byte char find format gmatch gsub len lower match reverse sub upper"

local function new_environment()
  local environment = only(_G, "_VERSION assert error ipairs next pairs select tonumber tostring type unpack")
  environment.pcall = function(...) return pass_exits_on(pcall(...)) end
  environment.xpcall = function(body, handler, ...)
    return pass_exits_on(xpcall(body, function(problem) return problem == EXIT and EXIT or handler(problem) end, ...))
  end
  environment.math = only(math, [[abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10
    max min modf pi pow rad random sin sinh sqrt tan tanh]])
  environment.os = only(os, "clock difftime time")
  environment.string = only(string, STRING)
  environment.table = only(table, "insert maxn remove sort")
  environment.require = sandboxed_require
  environment.kong = kong
  environment.ngx = ngx
  environment._G = environment
  return environment
end

-- The functions of `string` are reached through any text as well; that shall not lead to more.
getmetatable("").__index = only(string, STRING)
getmetatable("").__metatable = false

local function compile(source, name)
  local chunk, problem = loadstring(source, "=" .. name)
  if chunk == nil then return nil, problem end
  return setfenv(chunk, new_environment())
end

-- A chunk that returns a function only set the stage: from then on that function is what runs.
local function compile_all(sources, name)
  local functions = {}
  for i, source in ipairs(sources) do
    local chunk, problem = compile(source, name .. "[" .. i .. "]")
    if chunk == nil then return nil, problem end
    local ready = false
    functions[i] = function()
      if ready then return chunk() end
      local result = chunk()
      ready = true
      if type(result) == "function" then
        chunk = result
        return chunk()
      end
      return result
    end
  end
  return function()
    local result
    for i = 1, #functions do result = functions[i]() end
    return result
  end
end

local function run(compiled)
  local ok, result = pcall(compiled)
  if ok then return true, result end
  if result == EXIT then return true, nil end
  return false, tostring(result)
end

return compile_all, run
