-- post-function, body_filter phase: the problem that the header filter wrote replaces Kong's own body.
--
-- The whole text leaves with the last chunk; the chunks before it are dropped.

return function()
  local problem = kong.ctx.plugin.problem
  if not problem then
    return
  end
  if ngx.arg[2] then
    ngx.arg[1] = problem
  else
    ngx.arg[1] = nil
  end
end
