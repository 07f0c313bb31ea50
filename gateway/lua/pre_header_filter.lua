-- pre-function, header_filter phase, before any other plugin's: no header of the provider's passes for the gateway's.
--
-- What rate-limiting wrote in its access phase stands beside what the provider sent under the same name, so
-- post_access remembers it and it is put back here. What it writes later comes after this.

-- with the names in post_access.lua
local LIMITS = {
  "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
  "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
}
local WINDOWS = { "Second", "Minute", "Hour", "Day", "Month", "Year" }
for _, window in ipairs(WINDOWS) do
  LIMITS[#LIMITS + 1] = "X-RateLimit-Limit-" .. window
  LIMITS[#LIMITS + 1] = "X-RateLimit-Remaining-" .. window
end

return function()
  if kong.response.get_source() ~= "service" then
    return
  end
  local ours = kong.ctx.shared.marketplace_limits or {}
  kong.response.clear_header("X-Error-Code")
  for _, name in ipairs(LIMITS) do
    kong.response.clear_header(name)
    if ours[name] then
      kong.response.set_header(name, ours[name])
    end
  end
end
