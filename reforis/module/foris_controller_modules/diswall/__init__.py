# SPDX-License-Identifier: GPL-3.0-or-later
"""Module diswall of foris-controller: who is blocked and why, what is allowed, the settings."""

import logging

from foris_controller.handler_base import wrap_required_functions
from foris_controller.module_base import BaseModule


class DiswallModule(BaseModule):
    """Hands each action on to its handler, and tells the bus what changed."""

    logger = logging.getLogger(__name__)

    def action_status(self, data):
        """Whether and by what the router is protected."""
        return self.handler.ask("status", {})

    def action_history(self, data):
        """Dropped packets by the hour, by source."""
        return self.handler.ask("history", data)

    def action_events(self, data):
        """The newest bans."""
        return self.handler.ask("events", {"limit": 20, "kinds": ["ban"]})

    def action_check(self, data):
        """Why an address is blocked, or that it is not."""
        return self.handler.ask("check", data)

    def action_allowances(self, data):
        """A page of what is never blocked."""
        return self.handler.ask("allowances", data)

    def action_allow(self, data):
        """Never to be blocked from now on."""
        return self._change("allow", data)

    def action_disallow(self, data):
        """Takes an allowance back."""
        return self._change("disallow", data)

    def action_unblock(self, data):
        """Ends an address's bans."""
        return self._change("unblock", data)

    def action_lists(self, data):
        """The catalogue of lists, and which are switched on."""
        return self.handler.ask("lists", {})

    def action_switch(self, data):
        """Switches lists of the catalogue on or off."""
        answer = self.handler.ask("switch", data)
        if "failed" not in answer:
            self.notify("switch", data)
        return answer

    def action_get_settings(self, data):
        """The settings; the password is not among them."""
        return self.handler.get_settings()

    def action_update_settings(self, data):
        """Writes what differs and has the service read it."""
        result = self.handler.update_settings(data)
        if result:
            self.notify("update_settings", {})
        return {"result": result}

    def _change(self, method, data):
        answer = self.handler.ask(method, data)
        if "failed" not in answer:
            self.notify(method, {"addresses": data["addresses"]})
        return answer


@wrap_required_functions(["ask", "get_settings", "update_settings"])
class Handler:
    """What a handler has to have."""
