-- The module `hookswitch`, as it is installed: loads hookswitch.so, also in a folder that has another hookswitch.lua, such as the
-- configuration in /etc/hookswitch. Lua looks for its own modules first, in the current folder last.
local path, tried = package.searchpath("hookswitch", package.cpath)
if not path then error("module 'hookswitch': there is no hookswitch.so" .. tried, 2) end
return assert(package.loadlib(path, "luaopen_hookswitch"))()
