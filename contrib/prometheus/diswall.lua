-- The collector "diswall" of prometheus-node-exporter-lua: /usr/lib/lua/prometheus-collectors/diswall.lua.
-- Nothing reads it where that exporter is not installed. No label ever holds an address.
-- SPDX-License-Identifier: GPL-3.0-or-later

local ubus = require "ubus"

-- Seconds that a scrape waits for the daemon.
local PATIENCE = 2
local STATES = { "protected", "local", "waiting", "degraded", "unprotected", "off" }
local SEVERITIES = { "error", "warning", "notice" }
local CONNECTED = { live = 1, partial = 1, synchronising = 1 }

-- The exporter writes labels as they are.
local function escaped(text)
  return (tostring(text):gsub('[\\"\n]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }))
end

-- Begins a metric; what it returns writes one sample of it. The exporter would write a byte count above 10^14 rounded.
local function begin(name, kind, help)
  out:write("# HELP ", name, " ", help, "\n")
  local sample = metric(name, kind)
  return function(value, label, text, label2, text2)
    if type(value) ~= "number" then return end
    local labels = label and { [label] = escaped(text) }
    if label2 then labels[label2] = escaped(text2) end
    sample(labels, string.format("%.0f", value))
  end
end

local function answer()
  local bus = ubus.connect(nil, PATIENCE)
  if not bus then return nil end
  local status = bus:call("diswall", "status", {})
  bus:close()
  -- A refusal has no state.
  return type(status) == "table" and status.state and status or nil
end

-- One metric with a sample for each row of a list.
local function rows(list, label, name, kind, help, value)
  local sample = begin(name, kind, help)
  for _, row in ipairs(list) do sample(value(row), label, row.name) end
end

local function field(name)
  return function(row) return row[name] end
end

local function scrape()
  local status = answer()
  begin("diswall_up", "gauge", "Whether the daemon answers.")(status and 1 or 0)
  if not status then return end

  begin("diswall_build_info", "gauge", "The program's version.")(1, "version", status.version)
  begin("diswall_uptime_seconds", "gauge", "How long the daemon has run.")(status.uptime)
  begin("diswall_resident_memory_bytes", "gauge", "Memory of the daemon.")(status.memory * 1024)

  local state = begin("diswall_state", "gauge", "1 for the state that diswall is in.")
  for _, name in ipairs(STATES) do state(name == status.state and 1 or 0, "state", name) end
  rows(status.parts, "part", "diswall_part_in_force", "gauge", "Whether a part does what it is there for.",
    function(part) return part.state == "in_force" and 1 or 0 end)
  local problems = begin("diswall_problems", "gauge", "What the owner should know, by severity.")
  for _, severity in ipairs(SEVERITIES) do
    local count = 0
    for _, problem in ipairs(status.problems) do
      if problem.severity == severity then count = count + 1 end
    end
    problems(count, "severity", severity)
  end

  local sources = status.sources
  local bans = begin("diswall_bans", "gauge", "Addresses and networks that are banned.")
  for _, source in ipairs(sources) do
    bans(source.v4, "source", source.name, "kind", "ipv4")
    bans(source.v6, "source", source.name, "kind", "ipv6")
    bans(source.networks, "source", source.name, "kind", "network")
  end
  rows(sources, "source", "diswall_bans_withheld", "gauge", "Bans that are not in force, of protected addresses.", field "withheld")
  rows(sources, "source", "diswall_bans_cut", "gauge", "Entries for which there is no room.", field "cut")
  rows(sources, "source", "diswall_dropped_packets_total", "counter", "Packets dropped.", field "packets")
  rows(sources, "source", "diswall_dropped_bytes_total", "counter", "Bytes dropped.", field "bytes")

  local feeds = status.feeds
  rows(feeds, "feed", "diswall_feed_connected", "gauge", "Whether the feed's server answers.",
    function(feed) return CONNECTED[feed.state] or 0 end)
  rows(feeds, "feed", "diswall_feed_last_message_timestamp_seconds", "gauge", "When the feed was last heard of.", field "last_message")
  rows(feeds, "feed", "diswall_feed_messages_total", "counter", "Messages received.", field "messages")
  rows(feeds, "feed", "diswall_feed_refused_addresses_total", "counter", "Addresses refused.", field "refused_addresses")

  local allowances = begin("diswall_allowances", "gauge", "Addresses and networks that are never blocked.")
  for _, origin in ipairs({ "config", "command", "nats" }) do
    allowances(status.allowances[origin], "origin", origin)
  end
  begin("diswall_set_refills_total", "counter", "How often the sets had to be put right.")(status.firewall.refills)
  begin("diswall_scan_suspects", "gauge", "Senders that touched closed ports and are not banned for it yet.")(status.scan.suspects)
end

return { scrape = scrape }
