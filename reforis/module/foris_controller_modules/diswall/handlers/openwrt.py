# SPDX-License-Identifier: GPL-3.0-or-later
"""The handler on a router: the daemon over ubus, the settings over UCI."""

import logging

from foris_controller.handler_base import BaseOpenwrtHandler
from foris_controller.utils import logger_wrapper
from foris_controller_backends.diswall import DiswallUbus, DiswallUci

from .. import Handler

logger = logging.getLogger(__name__)


class OpenwrtDiswallHandler(Handler, BaseOpenwrtHandler):
    ubus = DiswallUbus()
    uci = DiswallUci()

    @logger_wrapper(logger)
    def ask(self, method, data):
        return self.ubus.call(method, data)

    @logger_wrapper(logger)
    def get_settings(self):
        return self.uci.get_settings()

    # Not wrapped: the wrapper writes arguments, and with them a password, into the log.
    def update_settings(self, data):
        return self.uci.update_settings(data)
