// SPDX-License-Identifier: GPL-3.0-or-later
// Puts the pages into reForis' menu. The icon is one of those that reForis draws.

import Allowed from "./Allowed";
import Overview from "./Overview";
import Settings from "./Settings";

ForisPlugins.push({
    name: "diswall",
    weight: 75,
    submenuId: "diswall",
    path: "/diswall",
    icon: "user-shield",
    pages: [
        { name: _("Overview"), path: "/overview", component: Overview },
        { name: _("Allowed"), path: "/allowed", component: Allowed },
        { name: _("Settings"), path: "/settings", component: Settings },
    ],
});
