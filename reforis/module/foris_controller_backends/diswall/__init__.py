# SPDX-License-Identifier: GPL-3.0-or-later
"""diswall as foris-controller sees it: the ubus object "diswall" and the UCI file of that name.

What the object answers is looked through before it goes on: every field is there and of the right type, whatever
version answered. A question that has no answer comes back as {"failed": {"code", "message"}}; nothing raises.
Called by the handler `openwrt` of module `diswall`.
"""

import json
import logging

from foris_controller.exceptions import BackendCommandFailed, UciException
from foris_controller_backends.cmdline import BaseCmdLine
from foris_controller_backends.uci import UciBackend, get_option_named, get_sections_by_type, parse_bool, store_bool

logger = logging.getLogger(__name__)

#: Rows of one page; the daemon gives 1000 at most.
PAGE = 100


def _text(value):
    return value if isinstance(value, str) else ""


def _count(value):
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else 0


def _optional(value):
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _flag(value):
    return value is True


def _known(value):
    return value if isinstance(value, bool) else None


def _amount(value):
    return _optional(value) if _count(value) or value == 0 else None


def _counts(value):
    return [_count(item) for item in value] if isinstance(value, list) else []


def _shape(readers):
    def read(value):
        found = value if isinstance(value, dict) else {}
        return {name: reader(found.get(name)) for name, reader in readers.items()}

    return read


def _list(reader):
    return lambda value: [reader(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []


_REASON = _shape({"kind": _text, "text": _text, "protocol": _text, "port": _count})
_BAN = _shape({"address": _text, "source": _text, "since": _count, "left": _optional, "reason": _REASON})
_ALLOWANCE = _shape({"address": _text, "origin": _text, "comment": _text, "left": _optional})
_DONE = {"done": _list(_shape({"address": _text, "text": _text}))}

#: What each method answers: the field that only the right answer has, and all that goes on.
ANSWERS = {
    "status": (
        "state",
        {
            "version": _text,
            "now": _count,
            "state": _text,
            "local_only": _flag,
            "parts": _list(_shape({"name": _text, "state": _text, "why": _text, "lost": _text, "remedy": _text})),
            "problems": _list(_shape({"key": _text, "severity": _text, "text": _text})),
            "sources": _list(
                _shape({"name": _text, "v4": _count, "v6": _count, "networks": _count, "packets_hour": _count})
            ),
            "dropped": _shape({"packets": _count, "packets_hour": _count, "since": _count}),
        },
    ),
    "history": (
        "sources",
        {"end": _count, "step": _count, "sources": _list(_shape({"name": _text, "packets": _counts}))},
    ),
    "events": (
        "events",
        {
            "now": _count,
            "events": _list(
                _shape({"at": _count, "kind": _text, "address": _text, "source": _text, "reason": _REASON})
            ),
        },
    ),
    "check": (
        "verdict",
        {
            "address": _text,
            "verdict": _text,
            "sentence": _text,
            "protected": _text,
            "bans": _list(_BAN),
            "allowances": _list(_ALLOWANCE),
        },
    ),
    "allowances": (
        "allowances",
        {"total": _count, "matched": _count, "offset": _count, "allowances": _list(_ALLOWANCE)},
    ),
    "lists": (
        "lists",
        {
            "lists": _list(
                _shape(
                    {
                        "name": _text,
                        "title": _text,
                        "category": _text,
                        "about": _text,
                        "licence": _text,
                        "commercial": _known,
                        "hosts": _amount,
                        "networks": _amount,
                        "risk": _text,
                        "refusal": _text,
                        "enabled": _flag,
                        "recommended": _flag,
                    }
                )
            )
        },
    ),
    "switch": ("done", _DONE),
    "allow": ("done", _DONE),
    "disallow": ("done", _DONE),
    "unblock": ("done", _DONE),
}


def failure(code, message=""):
    return {"failed": {"code": code, "message": message}}


class DiswallUbus(BaseCmdLine):
    """Asks the daemon, as root, by ubus' own program."""

    UBUS = "/bin/ubus"

    #: UBUS_STATUS_NO_DATA, as number and as ubus' program ends with it: rpcd lost the answer among many calls at once.
    LOST = (5, 251)

    #: What may be asked again.
    READING = ("status", "history", "events", "check", "allowances", "lists")

    def call(self, method, data=None):
        # The arguments are one word of JSON: no shell sees them.
        command = (self.UBUS, "call", "diswall", method, json.dumps(data or {}))
        try:
            code, output, _ = self._run_command(*command)
            if code in self.LOST and method in self.READING:
                code, output, _ = self._run_command(*command)
        except (BackendCommandFailed, OSError) as error:
            return failure("missing", str(error))
        # UBUS_STATUS_NOT_FOUND, METHOD_NOT_FOUND, TIMEOUT.
        if code in (3, 4):
            return failure("missing")
        if code == 7 or code in self.LOST:
            return failure("timeout")
        try:
            answer = json.loads(output.decode("utf-8")) if code == 0 else None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            return failure("shape")
        error = answer.get("error")
        if isinstance(error, dict):
            return failure(_text(error.get("code")) or "failed", _text(error.get("message")))
        mark, readers = ANSWERS[method]
        return _shape(readers)(answer) if mark in answer else failure("shape")


def _bool(value, default):
    try:
        return parse_bool(value)
    except Exception:  # a word that is no boolean: the daemon takes its default then, and says so
        return default


class DiswallUci:
    """The part of /etc/config/diswall that the settings page shows."""

    #: Name on the page: section (its type is what it is called, but for main), option, default.
    SWITCHES = {
        "enabled": ("main", "enabled", True),
        "local_only": ("main", "local_only", False),
        "dynfw": ("dynfw", "enabled", True),
        "nats": ("nats", "enabled", True),
        "share_bans": ("nats", "share_bans", False),
    }
    TYPES = {"main": "diswall", "dynfw": "dynfw", "nats": "nats"}

    def get_settings(self):
        try:
            with UciBackend() as backend:
                data = backend.read("diswall")
        except (BackendCommandFailed, UciException) as error:
            return failure("missing", str(error))
        settings = {
            name: _bool(get_option_named(data, "diswall", section, option, store_bool(default)), default)
            for name, (section, option, default) in self.SWITCHES.items()
        }
        zones = get_option_named(data, "diswall", "main", "zone", ["wan"])
        settings["zones"] = zones if isinstance(zones, list) else zones.split()
        settings["client_name"] = str(get_option_named(data, "diswall", "nats", "client_name", "default"))
        settings["known_zones"] = sorted(set(self._known_zones()) | set(settings["zones"]))
        return settings

    @staticmethod
    def _known_zones():
        try:
            with UciBackend() as backend:
                data = backend.read("firewall")
            names = [section["data"].get("name") for section in get_sections_by_type(data, "firewall", "zone")]
        except (BackendCommandFailed, UciException):
            return []
        return [name for name in names if isinstance(name, str)]

    def update_settings(self, new):
        """Writes what differs, and nothing else: another browser may have changed the rest meanwhile."""
        old = self.get_settings()
        if "failed" in old:
            return False
        try:
            with UciBackend() as backend:

                def put(section, option, value):
                    backend.add_section("diswall", self.TYPES[section], section)
                    backend.set_option("diswall", section, option, value)

                for name, (section, option, _) in self.SWITCHES.items():
                    if name in new and new[name] != old[name]:
                        put(section, option, store_bool(new[name]))
                if "zones" in new and new["zones"] != old["zones"]:
                    backend.add_section("diswall", "diswall", "main")
                    backend.replace_list("diswall", "main", "zone", new["zones"])
                if new.get("client_name") and new["client_name"] != old["client_name"]:
                    put("nats", "client_name", new["client_name"])
                if new.get("client_pass"):
                    put("nats", "client_pass", new["client_pass"])
        except (BackendCommandFailed, UciException) as error:
            logger.warning("diswall's settings were not written: %s", error)
            return False
        return True
