# SPDX-License-Identifier: GPL-3.0-or-later
"""What foris-controller gets of diswall, whatever ubus answers.

With FORIS_CONTROLLER set to a checkout of foris-controller its own classes are underneath; else a stand-in of what
the backend uses of them, and the same tests. With DISWALL set to a program, its own ubus half is asked too.
    python3 -m unittest discover -s reforis/module/tests
"""

import json
import os
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

HERE = Path(__file__).parent
TREE = os.environ.get("FORIS_CONTROLLER")


def stand_in():
    """The three modules that the backend imports, as far as it uses them."""

    class BackendCommandFailed(Exception):
        pass

    class BaseCmdLine:
        @staticmethod
        def _run_command(*command):
            try:
                done = subprocess.run(command, capture_output=True, check=False)
            except OSError as error:
                raise BackendCommandFailed from error
            return done.returncode, done.stdout, done.stderr

    class UciException(Exception):
        pass

    names = ["foris_controller", "foris_controller.exceptions", "foris_controller_backends",
             "foris_controller_backends.cmdline", "foris_controller_backends.uci"]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["foris_controller_backends"].__path__ = [str(HERE.parent / "foris_controller_backends")]
    sys.modules["foris_controller.exceptions"].UciException = UciException
    sys.modules["foris_controller.exceptions"].BackendCommandFailed = BackendCommandFailed
    sys.modules["foris_controller_backends.cmdline"].BaseCmdLine = BaseCmdLine
    for name in ["UciBackend", "get_option_named", "get_sections_by_type", "parse_bool", "store_bool"]:
        setattr(sys.modules["foris_controller_backends.uci"], name, None)


if TREE:
    sys.path.insert(0, TREE)
    from foris_controller.app import app_info
    import multiprocessing

    app_info["lock_backend"] = multiprocessing
    import foris_controller_backends

    foris_controller_backends.__path__.append(str(HERE.parent / "foris_controller_backends"))
else:
    stand_in()

from foris_controller_backends.diswall import ANSWERS, DiswallUbus  # noqa: E402


class Ubus(unittest.TestCase):
    def asked(self, script, method="status", data=None):
        """The backend's answer while /bin/ubus is this script."""
        with tempfile.TemporaryDirectory() as directory:
            program = Path(directory) / "ubus"
            program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            program.chmod(0o755)
            ubus = DiswallUbus()
            ubus.UBUS = str(program)
            return ubus.call(method, data)

    def code(self, script, method="status"):
        return self.asked(script, method)["failed"]["code"]

    def test_what_is_no_answer_is_a_failure_that_has_a_name(self):
        ubus = DiswallUbus()
        ubus.UBUS = "/nowhere/ubus"
        self.assertEqual(ubus.call("status")["failed"]["code"], "missing")
        self.assertEqual(self.code("echo 'Command failed: Not found' >&2; exit 4"), "missing")
        self.assertEqual(self.code("exit 7"), "timeout")
        self.assertEqual(self.code("exit 9"), "shape")
        for said in ["", "[]", "7", "{", '{"other": 1}', '"\\377"', "null"]:
            self.assertEqual(self.code(f"printf '%s' '{said}'"), "shape", said)
        self.assertEqual(self.code("printf '\\377\\376'"), "shape")
        stopped = self.asked('echo \'{"error":{"code":"not_running","message":"m"}}\'')
        self.assertEqual(stopped, {"failed": {"code": "not_running", "message": "m"}})
        self.assertEqual(self.code('echo \'{"error":{"code":7}}\''), "failed")

    def test_a_question_whose_answer_was_lost_is_put_once_more_and_a_change_is_not(self):
        with tempfile.TemporaryDirectory() as place:
            script = f"""echo >>{place}/asked; [ "$(wc -l <{place}/asked)" -gt 1 ] || exit 251; echo '{{"state":"off","done":[]}}'"""
            self.assertEqual(self.asked(script)["state"], "off")
            os.unlink(f"{place}/asked")
            self.assertEqual(self.code(script, "unblock"), "timeout")
            self.assertEqual(Path(f"{place}/asked").read_text("utf-8"), "\n")
        self.assertEqual(self.code("exit 5"), "timeout")

    def test_an_answer_of_another_version_has_every_field_of_its_type(self):
        for method, (mark, readers) in ANSWERS.items():
            for value in ["null", "7", '"<script>"', "[1,null,{}]", "{}"]:
                answer = self.asked(f"""echo '{{"{mark}": {value}, "later": 1}}'""", method)
                self.assertEqual(sorted(answer), sorted(readers), f"{method} {value}")
        rows = self.asked('echo \'{"sources":[{"name":7,"packets":[1,"x",-3,true]}, 3]}\'', "history")
        self.assertEqual(rows["sources"], [{"name": "", "packets": [1, 0, 0, 0]}])

    def test_what_strangers_wrote_goes_through_as_it_is_and_into_no_shell(self):
        evil = "$(touch /tmp/pwned)`x`'\"<img src=x onerror=alert(1)>; ž"
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as seen:
            answer = f"""for word; do last=$word; done; printf '%s' "$last" >{seen.name}; echo '{{"done":[]}}'"""
            self.assertEqual(self.asked(answer, "allow", {"addresses": [evil], "comment": evil}), {"done": []})
            self.assertEqual(json.load(seen), {"addresses": [evil], "comment": evil})
        self.assertFalse(os.path.exists("/tmp/pwned"))

    @unittest.skipUnless("DISWALL" in os.environ, "no program to ask")
    def test_the_program_itself_is_understood(self):
        # What rpcd does with the object: the method as argument, its arguments on standard input.
        relay = f"""printf '%s' "$4" | {os.environ.get('DISWALL')} {os.environ.get('DISWALL_ARGUMENTS', '')} rpcd call "$3" """
        asked = {"check": {"address": "198.51.100.7"}, "history": {"hours": 24}, "events": {"limit": 20, "kinds": ["ban"]}}
        for method in ["status", "history", "events", "check", "allowances"]:
            answer = self.asked(relay, method, asked.get(method))
            self.assertNotIn("failed", answer, method)


if __name__ == "__main__":
    unittest.main()
