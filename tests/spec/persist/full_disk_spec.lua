-- Persistent state on a disk that is really full: a small tmpfs in a mount namespace of its own.
local h = require "tests.spec.helper"

local program = h.binary:gsub("[^/]*$", "tests/persist_full")

local function can_mount()
  return os.execute "unshare -rm mount -t tmpfs none /mnt 2>/dev/null"
end

describe("persistent state on a full disk", function()
  after_each(h.cleanup)

  for _, size in ipairs { "11m", "13m", "17m" } do
    it("refuses what waits for it, keeps the rest, and writes all once there is space: " .. size, function()
      if not can_mount() then return pending "needs a mount namespace" end
      local folder = h.folder()
      local code, out, err = h.run("-rm", "sh", "-c", ('mount -t tmpfs -o size=%s none "$1" && exec "$0" "$1"'):format(size), program,
        folder, { program = "unshare" })
      assert(code == 0 and out:find "held", out .. err)
      -- Reported, and once only while it lasts.
      local _, reports = err:gsub("persistent state cannot be written", "")
      assert.equal(1, reports, err)
    end)
  end
end)
