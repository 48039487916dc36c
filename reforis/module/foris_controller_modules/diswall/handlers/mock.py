# SPDX-License-Identifier: GPL-3.0-or-later
"""The handler without a router, for work on the pages: one address is banned, and what is allowed is kept in memory."""

import logging
import time

from foris_controller.handler_base import BaseMockHandler
from foris_controller.utils import logger_wrapper

from .. import Handler

logger = logging.getLogger(__name__)

BANNED = "198.51.100.77"
REASON = {"kind": "port", "text": "", "protocol": "tcp", "port": 23}


class MockDiswallHandler(Handler, BaseMockHandler):
    banned = {BANNED}
    allowed = {"192.0.2.7": "kancelář"}
    switched_on = {"spamhaus"}
    settings = {
        "enabled": True,
        "local_only": False,
        "dynfw": True,
        "nats": True,
        "share_bans": False,
        "zones": ["wan"],
        "known_zones": ["lan", "wan"],
        "client_name": "default",
    }

    @logger_wrapper(logger)
    def ask(self, method, data):
        return getattr(self, f"_{method}")(data, int(time.time()))

    @logger_wrapper(logger)
    def get_settings(self):
        return dict(self.settings)

    def update_settings(self, data):
        known = {name: value for name, value in data.items() if name != "client_pass"}
        self.settings.update(known)
        return True

    def _status(self, _data, now):
        return {
            "version": "0.0.0",
            "now": now,
            "state": "protected",
            "local_only": False,
            "parts": [{"name": "zone.wan", "state": "in_force", "why": "", "lost": "", "remedy": ""}],
            "problems": [],
            "sources": [{"name": "scan", "v4": len(self.banned), "v6": 0, "networks": 0, "packets_hour": 12}],
            "dropped": {"packets": 240, "packets_hour": 12, "since": now - 86400},
        }

    @staticmethod
    def _history(_data, now):
        packets = [hour * 7 % 23 for hour in range(24)]
        return {"end": now, "step": 3600, "sources": [{"name": "scan", "packets": packets}]}

    @staticmethod
    def _events(_data, now):
        ban = {"at": now - 60, "kind": "ban", "address": BANNED, "source": "scan", "reason": REASON}
        return {"now": now, "events": [ban]}

    def _check(self, data, _now):
        address = data["address"]
        blocked = address in self.banned and address not in self.allowed
        ban = {"address": address, "source": "scan", "since": 0, "left": 900, "reason": REASON}
        return {
            "address": address,
            "verdict": "blocked" if blocked else "clear",
            "sentence": f"{address} is {'blocked by scan' if blocked else 'not blocked'}",
            "protected": "",
            "bans": [ban] if blocked else [],
            "allowances": [],
        }

    def _allowances(self, data, _now):
        rows = [
            {"address": address, "origin": "config", "comment": comment, "left": None}
            for address, comment in sorted(self.allowed.items())
            if data.get("search", "") in f"{address} {comment}"
        ]
        offset = data.get("offset", 0)
        page = rows[offset:][: data.get("limit", 100)]
        return {"total": len(self.allowed), "matched": len(rows), "offset": offset, "allowances": page}

    def _lists(self, _data, _now):
        def row(name, title, category, risk, **more):
            about = {"about": f"What {title} is for.", "licence": "free for all", "refusal": "", "recommended": False}
            size = {"commercial": None, "hosts": None, "networks": None}
            names = {"name": name, "title": title, "category": category, "risk": risk}
            return {**names, **about, **size, **more, "enabled": name in self.switched_on}

        return {
            "lists": [
                row("spamhaus", "Spamhaus DROP", "crime", "low", networks=1600, hosts=0, recommended=True),
                row("dshield", "DShield", "attackers", "low", networks=20, hosts=0, commercial=False),
                row("tor", "Tor", "anonymity", "high", refusal="12 MB of memory are free, and it takes 20 MB"),
            ]
        }

    def _switch(self, data, _now):
        change = self.switched_on.update if data["on"] else self.switched_on.difference_update
        change(data["names"])
        word = "on" if data["on"] else "off"
        return {"done": [{"address": name, "text": f"{name} is switched {word}"} for name in data["names"]]}

    def _allow(self, data, _now):
        self.allowed.update({address: data.get("comment", "") for address in data["addresses"]})
        return self._done(data, "is allowed until taken back")

    def _disallow(self, data, _now):
        for address in data["addresses"]:
            self.allowed.pop(address, None)
        return self._done(data, "is not blocked")

    def _unblock(self, data, _now):
        self.banned.difference_update(data["addresses"])
        return self._done(data, "is not blocked")

    @staticmethod
    def _done(data, text):
        return {"done": [{"address": address, "text": f"{address} {text}"} for address in data["addresses"]]}
