# SPDX-License-Identifier: GPL-3.0-or-later

from .mock import MockDiswallHandler
from .openwrt import OpenwrtDiswallHandler

__all__ = ["MockDiswallHandler", "OpenwrtDiswallHandler"]
