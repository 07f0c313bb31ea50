"""The operator's Lua: LuaJIT in a sandbox, with Kong's plugin development kit."""
