# SPDX-License-Identifier: GPL-3.0-or-later
"""The notice in reForis' bell: once when the protection stops, ended when it is back. On user-notify's own programs
where USER_NOTIFY names its scripts, else on stand-ins that keep a notice as those do.
"""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

NOTICE = Path(__file__).parents[1] / "root/usr/libexec/diswall/notice"
SCRIPTS = os.environ.get("USER_NOTIFY")

CREATE = """set -e; [ "$1 $2" = "-s error" ]; place="$NOTICES/$(date +%s)-$$"; mkdir -p "$place"
echo "$2" >"$place/severity"; echo "$3" >"$place/message_cs"; echo "$4" >"$place/message_en" """
DISPLAY = 'touch "$NOTICES/$1/displayed"'


class Notice(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.place = Path(self.directory.name)
        self.notices = self.place / "notices"
        for name, script in {"create_notification": CREATE, "user-notify-display": DISPLAY}.items():
            if SCRIPTS:
                own = (Path(SCRIPTS) / name).read_text("utf-8").replace("/tmp/user_notify", str(self.notices))
                self.program(name, own.replace("exec user-notify-cleaner", "true"))
            else:
                self.program(name, f"#!/bin/sh\n{script}\n")
        self.program("uci", '#!/bin/sh\n[ "$3" = diswall.main.enabled ] && echo "${ENABLED:-1}"\n')

    def tearDown(self):
        self.directory.cleanup()

    def program(self, name, text):
        (self.place / name).write_text(text, "utf-8")
        (self.place / name).chmod(0o755)

    def look(self, answer, status=0, then=None, **more):
        """Runs it while diswall answers so, the second time with `then`."""
        second = f'[ -e "$0.asked" ] && {{ echo \'{then}\'; exit 0; }}; touch "$0.asked"' if then else ""
        (self.place / "diswall.asked").unlink(missing_ok=True)
        self.program("diswall", f"#!/bin/sh\n{second}\necho '{answer}'\nexit {status}\n")
        paths = {"NOTICES": str(self.notices), "SAID": str(self.place / "said"), "PATIENCE": "0"}
        environment = {**os.environ, **paths, "PATH": f"{self.place}:{os.environ['PATH']}", **more}
        subprocess.run([NOTICE], env=environment, check=True, timeout=60)

    def count(self, what="message_en"):
        return len(list(self.notices.glob(f"*/{what}")))

    def test_one_notice_for_each_stop_ended_when_protection_is_back(self):
        self.look('{"state":"protected"}')
        self.assertEqual(self.count(), 0)
        for _ in range(3):
            self.look('{"state":"unprotected"}', 1)
        self.assertEqual((self.count(), self.count("displayed")), (1, 0))
        self.look('{"state":"degraded"}', 1)
        self.assertEqual((self.count(), self.count("displayed")), (1, 1))
        self.look("", 3)
        self.look("", 3)
        self.assertEqual((self.count(), self.count("displayed")), (2, 1))
        self.look('{"state":"local"}')
        self.assertEqual((self.count(), self.count("displayed")), (2, 2))

    def test_a_directory_of_notices_that_others_can_write_to_is_not_read(self):
        trap = self.notices / "1-1"
        trap.mkdir(parents=True)
        os.mkfifo(trap / "message_en")
        self.notices.chmod(0o777)
        self.look("", 3)
        self.assertTrue((self.place / "said").exists())
        self.look('{"state":"protected"}')
        self.assertFalse((trap / "displayed").exists())

    def test_what_was_dismissed_is_not_said_again(self):
        self.look("", 3)
        for place in self.notices.iterdir():
            (place / "displayed").touch()
        self.look("", 3)
        self.assertEqual(self.count(), 1)

    def test_another_trouble_takes_the_place_of_the_first(self):
        self.look("", 3)
        self.look('{"state":"unprotected"}', 1)
        self.assertEqual((self.count(), self.count("displayed")), (2, 1))

    def test_a_moment_and_the_owners_own_will_are_no_news(self):
        self.look('{"state":"unprotected"}', 1, then='{"state":"protected"}')
        self.look("", 3, ENABLED="0")
        self.look('{"state":"off"}', 1)
        self.look("no JSON", 1)
        self.assertEqual(self.count(), 0)


if __name__ == "__main__":
    unittest.main()
