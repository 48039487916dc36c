-- Runs the Lua collector as prometheus-node-exporter-lua does: `metric` writes a TYPE line, then samples, whose labels
-- it does not escape. Its ubus is the program whose path comes second; what that prints is the answer, if it is one.
-- SPDX-License-Identifier: GPL-3.0-or-later

local cjson = require "cjson"
local collector, program = arg[1], arg[2]

package.loaded.ubus = {
  connect = function(_, patience)
    return {
      call = function(_, object, method)
        assert(object == "diswall" and method == "status" and patience <= 5)
        local run = io.popen("timeout " .. patience .. " '" .. program .. "' status --json 2>/dev/null")
        local text = run:read("*a")
        run:close()
        local read, answer = pcall(cjson.decode, text)
        return read and answer or nil
      end,
      close = function() end,
    }
  end,
}

out = io.output()

function metric(name, kind)
  out:write("# TYPE ", name, " ", kind, "\n")
  return function(labels, value)
    local pairs_ = {}
    for label, text in pairs(labels or {}) do pairs_[#pairs_ + 1] = label .. '="' .. text .. '"' end
    out:write(name, #pairs_ > 0 and "{" .. table.concat(pairs_, ",") .. "}" or "", " ", value, "\n")
  end
end

dofile(collector).scrape()
