# SPDX-License-Identifier: GPL-3.0-or-later
"""diswall's pages in reForis: routes under /diswall/api, each one action of foris-controller's module diswall.

Who may call them is decided by the web server before they are reached, and CSRF by reForis.
"""

from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, current_app, jsonify, request
from flask_babel import gettext as _
from reforis.foris_controller_api.utils import APIError

blueprint = Blueprint("diswall", __name__, url_prefix="/diswall/api")

diswall = {
    "blueprint": blueprint,
    "js_app_path": "reforis_diswall/js/app.min.js",
    "translations_path": Path(__file__).parent / "translations",
}


def _perform(action, data=None):
    return current_app.backend.perform("diswall", action, data)


def _given(**types):
    """The named fields of the request's JSON, each of its type; what else is there is refused."""
    data = request.get_json(silent=True)
    if not isinstance(data, dict) or any(type(value) is not types.get(name) for name, value in data.items()):
        raise APIError(_("The request was not understood."), HTTPStatus.BAD_REQUEST)
    return data


def _number(name, default, most):
    try:
        number = int(request.args.get(name, default))
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise APIError(_("The request was not understood."), HTTPStatus.BAD_REQUEST)
    return number


@blueprint.route("/status")
def status():
    return jsonify(_perform("status"))


@blueprint.route("/history")
def history():
    return jsonify(_perform("history", {"hours": max(1, _number("hours", 24, 168))}))


@blueprint.route("/events")
def events():
    return jsonify(_perform("events"))


@blueprint.route("/check", methods=["POST"])
def check():
    return jsonify(_perform("check", _given(address=str)))


@blueprint.route("/allowances")
def allowances():
    page = {"search": request.args.get("search", "")[:120], "offset": _number("offset", 0, 1 << 31), "limit": 50}
    return jsonify(_perform("allowances", page))


@blueprint.route("/allow", methods=["POST"])
def allow():
    return jsonify(_perform("allow", _given(addresses=list, comment=str)))


@blueprint.route("/disallow", methods=["POST"])
def disallow():
    return jsonify(_perform("disallow", _given(addresses=list)))


@blueprint.route("/unblock", methods=["POST"])
def unblock():
    return jsonify(_perform("unblock", _given(addresses=list)))


@blueprint.route("/lists")
def lists():
    return jsonify(_perform("lists"))


@blueprint.route("/switch", methods=["POST"])
def switch():
    return jsonify(_perform("switch", _given(names=list, on=bool)))


@blueprint.route("/settings")
def get_settings():
    return jsonify(_perform("get_settings"))


@blueprint.route("/settings", methods=["POST"])
def post_settings():
    switches = {"enabled": bool, "local_only": bool, "dynfw": bool, "nats": bool, "share_bans": bool}
    given = _given(zones=list, client_name=str, client_pass=str, **switches)
    if _perform("update_settings", given).get("result") is not True:
        raise APIError(_("The settings could not be written."), HTTPStatus.INTERNAL_SERVER_ERROR)
    return jsonify({"result": True})
