include(utils.m4)dnl
_FEATURE_GUARD_

Install("diswall", { priority = 40 })

if not options or options.reforis ~= false then
	Install("reforis-diswall-plugin", { priority = 40 })
end

if options and options.luci then
	Install("luci-app-diswall", { priority = 40 })
end

_END_FEATURE_GUARD_
