# SPDX-License-Identifier: GPL-3.0-or-later
"""What no build step notices: a text of the pages without Czech, an action without its schema, an icon that reForis
does not draw, HTML made of text."""

import json
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugin"
MODULE = ROOT / "module/foris_controller_modules/diswall"
CALL = re.compile(r'\b_\(\s*"((?:[^"\\]|\\.)*)"', re.S)


def read(path):
    return path.read_text(encoding="utf-8")


class Texts(unittest.TestCase):
    def test_every_text_has_its_czech_and_keeps_its_places(self):
        po = read(PLUGIN / "reforis_diswall/translations/cs/LC_MESSAGES/messages.po")
        known = dict(re.findall(r'msgid "(.+)"\nmsgstr "(.*)"', po))
        sources = [*(PLUGIN / "js/src").glob("*.js"), PLUGIN / "reforis_diswall/__init__.py"]
        texts = {text for source in sources for text in CALL.findall(read(source))}
        self.assertGreater(len(texts), 50)
        self.assertEqual(texts, set(known))
        for text, czech in known.items():
            self.assertTrue(czech, text)
            self.assertEqual(text.count("%s"), czech.count("%s"), text)
        template = read(PLUGIN / "reforis_diswall/translations/messages.pot")
        self.assertEqual(set(re.findall(r'msgid "(.+)"', template)), texts)

    def test_every_action_has_its_request_and_reply(self):
        schema = json.loads(read(MODULE / "schema/diswall.json"))
        described = {
            (message["properties"]["kind"]["enum"][0], message["properties"]["action"]["enum"][0])
            for message in schema["oneOf"]
        }
        actions = re.findall(r"def action_(\w+)", read(MODULE / "__init__.py"))
        self.assertEqual({name for _, name in described}, set(actions))
        for action in actions:
            self.assertIn(("request", action), described)
            self.assertIn(("reply", action), described)

    def test_the_landing_page_finds_our_icon_and_page(self):
        root = PLUGIN / "root"
        entry = json.loads(read(root / "usr/share/turris-webapps/40_diswall.json"))
        self.assertTrue((root / "www/webapps-icons" / Path(entry["icon"]).name).is_file())
        self.assertIn('path: "/diswall"', read(PLUGIN / "js/src/app.js"))
        self.assertEqual(entry["url"], "/reforis/diswall/overview")

    def test_no_text_becomes_html(self):
        for source in (PLUGIN / "js/src").glob("*.js"):
            self.assertNotRegex(read(source), r"dangerouslySetInnerHTML|innerHTML|eval\(|href=\{", source.name)


if __name__ == "__main__":
    unittest.main()
