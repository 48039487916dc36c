# SPDX-License-Identifier: GPL-3.0-or-later
"""reForis and foris-controller as far as diswall's pages need them: a page that loads the plugin's bundle as reForis
does, its routes under the real paths, and behind them the real module with its real backend, which asks the program
in ubus' place. Nothing but Python's own library. Started by world.js.

    host.py ubus|mock UBUS BUNDLE

With FORIS_CONTROLLER foris-controller's own classes are underneath the module, else a stand-in of them. Prints its
port. PUT /test changes {"language"}.
"""

import importlib
import json
import re
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

REFORIS = Path(__file__).parents[1]
LIBRARIES = REFORIS / "plugin/js/node_modules"
HOSTS = [
    "react/umd/react.production.min.js",
    "react-dom/umd/react-dom.production.min.js",
    "prop-types/prop-types.min.js",
    "react-router-dom/umd/react-router-dom.min.js",
]
STYLE = "bootstrap/dist/css/bootstrap.min.css"

sys.path.insert(0, str(REFORIS / "module/tests"))
sys.path.insert(0, str(REFORIS / "plugin"))
state = {"language": "en"}
asked = threading.local()


def module(name, **content):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(content)


class Refused(Exception):
    def __init__(self, text, status):
        super().__init__(text)
        self.status = int(status)


class Blueprint:
    def __init__(self, _name, _module, url_prefix):
        self.prefix, self.routes = url_prefix, {}

    def route(self, path, methods=("GET",)):
        return lambda function: self.routes.update({(method, self.prefix + path): function for method in methods})


class Request:
    @property
    def args(self):
        return asked.arguments

    def get_json(self, silent):
        try:
            return json.loads(asked.body)
        except ValueError:
            return None


def stand_in():
    """What plugin and module import, as far as they use it; test_backend has the rest."""
    importlib.import_module("test_backend")
    if "FORIS_CONTROLLER" not in __import__("os").environ:

        class Base:
            def __init__(self, handler=None):
                self.handler = handler

            def notify(self, *_words):
                pass

        module("foris_controller.handler_base", BaseMockHandler=Base, BaseOpenwrtHandler=Base)
        sys.modules["foris_controller.handler_base"].wrap_required_functions = lambda _names: lambda handler: handler
        module("foris_controller.module_base", BaseModule=Base)
        module("foris_controller.utils", logger_wrapper=lambda _logger: lambda function: function)
        module("foris_controller_modules", __path__=[str(REFORIS / "module/foris_controller_modules")])
    else:
        import foris_controller_modules

        foris_controller_modules.__path__.append(str(REFORIS / "module/foris_controller_modules"))
    module("flask", Blueprint=Blueprint, current_app=types.SimpleNamespace(), jsonify=lambda data: data, request=Request())
    module("flask_babel", gettext=lambda text: text)
    for name in ["reforis", "reforis.foris_controller_api"]:
        module(name)
    module("reforis.foris_controller_api.utils", APIError=Refused)


class Controller:
    """foris-controller: a message, looked through by its schema, to the module's action."""

    def __init__(self, kind, ubus):
        modules = importlib.import_module("foris_controller_modules.diswall")
        mock = importlib.import_module("foris_controller_modules.diswall.handlers.mock").MockDiswallHandler
        real = importlib.import_module("foris_controller_backends.diswall").DiswallUbus()
        real.UBUS = ubus

        class Handler(mock):
            def ask(self, method, data):
                return real.call(method, data) if kind == "ubus" else super().ask(method, data)

        self.module = modules.DiswallModule.__new__(modules.DiswallModule)
        self.module.handler, self.module.notify = Handler(), lambda *_words: None
        schema = REFORIS / "module/foris_controller_modules/diswall/schema/diswall.json"
        try:
            from jsonschema import Draft4Validator as Validator

            self.validator = Validator(json.loads(schema.read_text(encoding="utf-8")))
        except ImportError:
            self.validator = None

    def check(self, kind, action, data):
        message = {"module": "diswall", "kind": kind, "action": action, **({} if data is None else {"data": data})}
        if self.validator and not self.validator.is_valid(message):
            print(f"by the schema no {kind}: {json.dumps(message)[:300]}", file=sys.stderr)
            raise Refused("Incorrect input.", 400 if kind == "request" else 500)

    def perform(self, _module, action, data=None):
        self.check("request", action, data)
        answer = getattr(self.module, f"action_{action}")(data)
        self.check("reply", action, answer)
        return answer


def page():
    language = state["language"]
    po = REFORIS / f"plugin/reforis_diswall/translations/{language}/LC_MESSAGES/messages.po"
    text = po.read_text(encoding="utf-8") if po.is_file() else ""
    words = {json.loads(f'"{a}"'): json.loads(f'"{b}"') for a, b in re.findall(r'msgid "(.+)"\nmsgstr "(.*)"', text)}
    scripts = "".join(f'<script src="/static/{name}"></script>' for name in HOSTS)
    catalogue = json.dumps(words).replace("<", "\\u003c")
    return f"""<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<link rel="icon" href="data:,"><title>reForis</title>
<link rel="stylesheet" href="/static/{STYLE}">{scripts}
<script>const words = {catalogue}; window._ = text => words[text] || text; window.ForisPlugins = [];</script>
<script src="/bundle.js"></script></head><body><main id="content" class="container p-3"><div id="app"></div></main>
<script>
const {{ createElement }} = React, {{ BrowserRouter, Link, Route }} = ReactRouterDOM, [ plugin ] = ForisPlugins;
const at = page => plugin.path + page.path;
ReactDOM.render(createElement(BrowserRouter, {{ basename: "/reforis" }},
    createElement("nav", {{ "aria-label": "reForis" }}, plugin.pages.map(page => createElement(Link, {{ key: page.path, to: at(page), className: "me-3" }}, page.name))),
    plugin.pages.map(page => createElement(Route, {{ key: page.path, path: at(page), component: page.component }}))), document.getElementById("app"));
</script></body></html>"""


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # A browser that goes elsewhere waits for no answer.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_words):
        pass

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self):
        url = urlsplit(self.path)
        asked.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked.arguments = dict(parse_qsl(url.query))
        route = routes.get((self.command, url.path.removeprefix("/reforis")))
        if self.command == "PUT" and url.path == "/test":
            state.update(json.loads(asked.body))
            return self.send(200, "application/json", b"{}")
        if route:
            try:
                status, data = 200, route()
            except Refused as refused:
                status, data = refused.status, str(refused)
            return self.send(status, "application/json", json.dumps(data).encode())
        if url.path == "/bundle.js":
            return self.send(200, "text/javascript; charset=utf-8", bundle.read_bytes())
        name = url.path.removeprefix("/static/")
        if name in [*HOSTS, STYLE]:
            kind = "text/css" if name == STYLE else "text/javascript; charset=utf-8"
            return self.send(200, kind, (LIBRARIES / name).read_bytes())
        if url.path.startswith("/reforis/diswall/") and "/api/" not in url.path:
            return self.send(200, "text/html; charset=utf-8", page().encode())
        return self.send(404, "text/plain", b"")

    do_GET = do_POST = do_PUT = answer


if __name__ == "__main__":
    stand_in()
    plugin = importlib.import_module("reforis_diswall")
    sys.modules["flask"].current_app.backend = Controller(sys.argv[1], sys.argv[2])
    routes, bundle = plugin.blueprint.routes, Path(sys.argv[3])
    server = Server(("127.0.0.1", 0), Web)
    print(server.server_address[1], flush=True)
    server.serve_forever()
