#!/usr/bin/python3
"""Tries what is in contrib/ for graphs, each on the real program that reads it: promtool, Prometheus with its node
exporter, collectd, mosquitto. Needs root: all happens in a network namespace of its own.

    run.py DISWALL        the daemon's program; ends with sums in the form of node's test runner: `# pass N`, `# fail N`
"""
# SPDX-License-Identifier: GPL-3.0-or-later

import contextlib
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types
import unittest
import unittest.mock
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
CONTRIB = HERE.parent
# As many lists as there may be switched on in earnest, with the longest names.
LISTS = 64
BANNED = "192.0.2.77"


def until(what, condition, seconds=20):
    """Waits for what a condition gives, and gives that."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except (OSError, ValueError, KeyError, IndexError):
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def tool(name):
    """A program's path; Debian keeps some in /usr/sbin."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not found:
        raise AssertionError(f"no {name} here")
    return found


def share(program, *path):
    """A file of the package that a program is of, below lib or share beside its directory."""
    return pathlib.Path(tool(program)).parent.parent.joinpath(*path)


class World:
    """The daemon with its lists, and a `diswall` and a `ubus` on the search path that ask it."""

    def __init__(self, program):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="diswall-graphs-"))
        self.place.chmod(0o755)
        self.bin = self.place / "bin"
        self.bin.mkdir()
        self.children = []
        # Nobody runs it too, and he cannot reach a checkout below /root.
        program = shutil.copy(program, self.place / "program")
        self.config = self.place / "diswall.conf"
        lines = ["config diswall 'main'", "\tlist device 'lo'", "\toption table 'diswall'",
                 f"\toption state_dir '{self.place}/state'", f"\toption control '{self.place}/run/control.sock'",
                 "config dynfw 'dynfw'", "\toption enabled '0'", "config nats 'nats'", "\toption enabled '0'"]
        for number in range(LISTS):
            entry = self.place / f"list{number}"
            entry.write_text(f"198.51.100.{number + 1}\n2001:db8:{number + 1:x}::/48\n")
            lines += [f"config list 'list_{number:02}_longer'", f"\toption url '{entry}'"]
        self.config.write_text("\n".join(lines) + "\n")
        self.program = self.script("diswall", f'exec {program} "$@" --config {self.config}')
        self.script("ubus", f'case $* in "-t "[23]" call diswall status") ;; *) exit 2 ;; esac\n'
                            f'exec timeout "$2" {self.program} status --json')
        # The form of jsonfilter's paths that the script uses, told to jq.
        self.script("jsonfilter", 'path=${4#@}\nprintf %s "$2" | exec jq -r "$(printf %s "$path" | sed "s/\\[\\*\\]/[]/g")"')
        rules = subprocess.run([self.program, "rules", "--standalone"], check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["nft", "-f", "-"], input=rules, check=True)
        self.daemon = self.start(program, "run", "--foreground", "--config", str(self.config))
        try:
            until("every list", lambda: self.status()["bans"]["total"] >= 2 * LISTS, 60)
        except AssertionError:
            self.end()
            raise
        # collectd's script is nobody: what ubus' ACL lets it ask on a router, the socket lets it ask here.
        for path, mode in ((self.place / "run", 0o755), (self.place / "run/control.sock", 0o666)):
            path.chmod(mode)
        subprocess.run([self.program, "block", BANNED], check=True, stdout=subprocess.DEVNULL)

    def script(self, name, text, directory=None):
        path = (directory or self.bin) / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def status(self):
        run = subprocess.run([self.program, "status", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        return json.loads(run.stdout)

    def start(self, *command, **more):
        with open(self.place / f"log{len(self.children)}", "wb") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **more)
        self.children.append(child)
        return child

    def end(self):
        for child in reversed(self.children):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGCONT)
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        shutil.rmtree(self.place)

    @contextlib.contextmanager
    def hanging(self):
        """The daemon takes connections, and answers none."""
        self.daemon.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.daemon.send_signal(signal.SIGCONT)

    def answering(self, text):
        """A program in the place of `diswall` that answers this; for what no configuration lets the daemon say."""
        (self.place / "answer").write_text(text)
        directory = self.place / "says"
        directory.mkdir(exist_ok=True)
        return self.script("diswall", f"cat {self.place}/answer", directory)

    # The two forms of the collector.

    def lua(self, program=None):
        run = subprocess.run(["lua5.1", HERE / "collector.lua", CONTRIB / "prometheus/diswall.lua", program or self.program],
                             check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10)
        assert run.stderr == b"", run.stderr
        return run.stdout.decode()

    def textfile(self, program=None):
        file = self.place / "textfile/diswall.prom"
        file.parent.mkdir(exist_ok=True)
        subprocess.run([CONTRIB / "prometheus/diswall-textfile", "--diswall", program or self.program, file], check=True, timeout=10)
        assert [name.name for name in file.parent.iterdir()] == ["diswall.prom"], "something was left beside it"
        return file.read_text()


WORLD = None


def writer():
    """The textfile writer as a module."""
    loader = importlib.machinery.SourceFileLoader("textfile", str(CONTRIB / "prometheus/diswall-textfile"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("textfile", loader))
    loader.exec_module(module)
    return module


def samples(text):
    """Prometheus' text as a dictionary, for comparing."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            key = (name, tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))))
            assert key not in found, f"twice: {line}"
            found[key] = float(value)
    return found


class Collectors(unittest.TestCase):
    FORMS = ("lua", "textfile")

    def each(self, *args):
        return {form: getattr(WORLD, form)(*args) for form in self.FORMS}

    def test_promtool_finds_nothing_to_say_and_both_forms_say_the_same(self):
        steady = {}
        for form, text in self.each().items():
            judged = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, check=False)
            self.assertEqual((judged.returncode, judged.stdout), (0, b""), form)
            found = samples(text)
            self.assertEqual(found["diswall_up", ()], 1)
            self.assertEqual(found["diswall_bans", (("kind", "ipv4"), ("source", "manual"))], 1)
            self.assertEqual(found["diswall_bans", (("kind", "network"), ("source", "list_63_longer"))], 1)
            moving = ("diswall_uptime_seconds", "diswall_resident_memory_bytes", "diswall_dropped_packets_total",
                      "diswall_dropped_bytes_total", "diswall_feed_messages_total")
            steady[form] = {key: value for key, value in found.items() if key[0] not in moving}
            # However much is banned: a series for a source, never for an address.
            self.assertLess(len(found), 16 * (LISTS + 8))
            self.assertNotRegex(text, r'"[^"]*(\d+\.\d+\.\d+\.\d+|2001:db8)')
        lua, textfile = steady["lua"], steady["textfile"]
        self.assertEqual(lua.keys(), textfile.keys())
        for key, value in lua.items():
            # The daemon reckons times from two clocks, whose seconds do not begin together.
            delta = 1 if key[0].endswith("_timestamp_seconds") else 0
            self.assertAlmostEqual(value, textfile[key], delta=delta, msg=key)

    def test_a_daemon_that_hangs_is_down_within_seconds(self):
        with WORLD.hanging():
            for form in self.FORMS:
                start = time.monotonic()
                self.assertEqual(samples(getattr(WORLD, form)()), {("diswall_up", ()): 0}, form)
                self.assertLess(time.monotonic() - start, 6, form)

    def test_no_daemon_a_refusal_and_nonsense_are_down_and_no_error(self):
        refusal = '{"error":{"code":"not_running","message":"the daemon does not run"}}'
        for said in ("", "not JSON\n", "[]", "7", "null", "{}", refusal):
            for form, text in self.each(WORLD.answering(said)).items():
                self.assertEqual(samples(text), {("diswall_up", ()): 0}, (form, said))
        for form, text in self.each("/nonexistent/diswall").items():
            self.assertEqual(samples(text), {("diswall_up", ()): 0}, form)

    def test_a_name_cannot_end_the_label_that_it_stands_in(self):
        status = WORLD.status()
        wicked = 'a"} 1\nforged_metric{x="\\'
        status["sources"][0]["name"] = status["feeds"][0]["name"] = status["parts"][0]["name"] = status["version"] = wicked
        status["sources"][0]["packets"] = 2 ** 53 - 1
        escaped = wicked.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for form, text in self.each(WORLD.answering(json.dumps(status))).items():
            judged = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), stderr=subprocess.PIPE, check=False)
            self.assertEqual((judged.returncode, judged.stderr), (0, b""), form)
            found = samples(text)
            self.assertEqual(found["diswall_dropped_packets_total", (("source", escaped),)], 2 ** 53 - 1, form)
            self.assertIn(("diswall_part_in_force", (("part", escaped),)), found)
            self.assertNotIn("forged_metric", {name for name, _ in found})

    def test_the_owner_of_the_textfiles_directory_chooses_no_other_file_to_be_read_by_all(self):
        textfile = writer()
        secret = WORLD.place / "secret"
        secret.write_text("root's own")
        secret.chmod(0o600)

        def made_and_exchanged(**options):
            handle, name = tempfile.mkstemp(**options)
            os.unlink(name)
            os.symlink(secret, name)
            return handle, name

        textfile.tempfile = types.SimpleNamespace(mkstemp=made_and_exchanged)
        with unittest.mock.patch.object(sys, "argv", ["x", "--diswall", WORLD.program, str(WORLD.place / "linked.prom")]):
            textfile.main()
        self.assertEqual(secret.stat().st_mode & 0o777, 0o600)


class Grafana(unittest.TestCase):
    def test_a_real_prometheus_answers_every_query_of_the_dashboard(self):
        WORLD.textfile()
        exporter = WORLD.start(tool("prometheus-node-exporter"), "--collector.disable-defaults", "--collector.textfile",
                               f"--collector.textfile.directory={WORLD.place}/textfile", "--web.listen-address=127.0.0.1:19100")
        config = WORLD.place / "prometheus.yml"
        config.write_text("global: { scrape_interval: 1s }\nscrape_configs:\n"
                          "- { job_name: router, static_configs: [ { targets: [ '127.0.0.1:19100' ] } ] }\n")
        prometheus = WORLD.start(tool("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={WORLD.place}/tsdb",
                                 "--web.listen-address=127.0.0.1:19090")

        def query(expression):
            url = "http://127.0.0.1:19090/api/v1/query?" + urllib.parse.urlencode({"query": expression})
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]["result"]

        # Two samples make a rate.
        until("two scrapes", lambda: int(query("count_over_time(diswall_up[1m])")[0]["value"][1]) >= 2)
        dashboard = json.loads((CONTRIB / "grafana/diswall.json").read_text())
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(dashboard["panels"]))
        asked = 0
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m")
                self.assertNotIn("$", expression)
                found = query(expression)
                asked += 1
                # What there is nothing of on this machine: other collectors' counters, and no list has been cut.
                if not re.search(r"nft_counter|> 0$", expression):
                    self.assertTrue(found, f"{panel['title']}: nothing for {expression}")
        self.assertGreater(asked, 10)
        state = query('diswall_state == 1')
        self.assertEqual([row["metric"]["state"] for row in state], [WORLD.status()["state"]])
        for child in (prometheus, exporter):
            child.terminate()
            child.wait()


class Collectd(unittest.TestCase):
    def test_nobodys_script_fills_collectds_files_and_tells_of_a_daemon_that_hangs(self):
        place = WORLD.place / "collectd"
        place.mkdir()
        script = place / "diswall_collectd.sh"
        shutil.copy(CONTRIB / "collectd/diswall_collectd.sh", script)
        # As OpenWrt's collectd leaves it.
        shutil.chown(script, "nobody", "nogroup")
        script.chmod(0o500)
        config = place / "conf"
        config.write_text(f"""Hostname "router"
FQDNLookup false
PIDFile "{place}/pid"
BaseDir "{place}"
PluginDir "{share('collectd', 'lib/collectd')}"
TypesDB "{share('collectd', 'share/collectd/types.db')}"
Interval 1
LoadPlugin exec
LoadPlugin csv
<Plugin csv>
 DataDir "{place}/csv"
</Plugin>
<Plugin exec>
 Exec "nobody:nogroup" "{script}"
</Plugin>
""")
        path = f"{WORLD.bin}:{os.environ['PATH']}"
        child = WORLD.start(tool("collectd"), "-f", "-C", str(config), env={**os.environ, "PATH": path})

        def values(name):
            lines = "".join(file.read_text() for file in (place / "csv/router").glob(f"{name}-20*")).splitlines()
            return [float(line.split(",")[1]) for line in lines if not line.startswith("epoch")]

        until("bans in collectd", lambda: WORLD.status()["bans"]["total"] in values("diswall/gauge-bans"))
        self.assertIn(1, until("a list's networks", lambda: values("diswall-list_63_longer/gauge-networks")))
        self.assertIn(1, until("one's own bans", lambda: values("diswall-manual/gauge-ipv4")))
        # Derived from two samples.
        until("drops", lambda: values("diswall/derive-dropped_packets"))
        self.assertEqual({process.owner() for process in running(str(script))}, {"nobody"})
        self.assertNotIn(0, values("diswall/gauge-up"))
        with WORLD.hanging():
            until("the daemon to be down", lambda: 0 in values("diswall/gauge-up"))
        until("the daemon to be up", lambda: values("diswall/gauge-up")[-1] == 1)
        child.terminate()
        child.wait()
        until("the script to end with collectd", lambda: not running(str(script)))

    def test_luci_draws_what_the_script_reports(self):
        script = (CONTRIB / "collectd/diswall_collectd.sh").read_text()
        reported = {"_".join(pair) for pair in re.findall(r"\b(derive|gauge)-(\w+)", script)} - {"gauge_up"}
        page = CONTRIB.parent / "luci-app/htdocs/luci-static/resources/statistics/rrdtool/definitions/diswall.js"
        drawn = set(re.findall(r"\b((?:derive|gauge)_\w+):", page.read_text()))
        self.assertEqual(drawn, reported)

    def test_the_acl_grants_the_status_alone(self):
        acl = json.loads((CONTRIB / "collectd/diswall_collectd.acl").read_text())
        self.assertEqual(acl, {"user": "nobody", "access": {"diswall": {"methods": ["status"]}}})


def running(name):
    """Processes that have this among their arguments."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if name.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent)
    return found


class HomeAssistant(unittest.TestCase):
    PORT = "18830"
    TOPIC = "diswall/my__router_"

    def setUp(self):
        self.broker = self.started_broker()

    def tearDown(self):
        self.ended(self.broker)

    def started_broker(self):
        # Without a configuration it listens at loopback alone, and keeps nothing on a disk.
        broker = WORLD.start(tool("mosquitto"), "-p", self.PORT)
        until("mosquitto", lambda: socket.create_connection(("127.0.0.1", int(self.PORT)), 1).close() is None)
        return broker

    @staticmethod
    def ended(process):
        process.terminate()
        process.wait()

    @contextlib.contextmanager
    def script(self, *programs):
        """The script, which finds these of the world's programs, and otherwise what every Debian has."""
        place = WORLD.place / "mqtt"
        place.mkdir()
        for name in ("cat", "tr", "jq", "grep", "sed", "sleep", "timeout", "mosquitto_pub"):
            (place / name).symlink_to(tool(name))
        for name in programs:
            (place / name).symlink_to(WORLD.bin / name)
        child = WORLD.start("/bin/sh", str(CONTRIB / "home-assistant/diswall-mqtt"), "-p", self.PORT,
                            env={**os.environ, "PATH": str(place), "INTERVAL": "1", "NODE": 'my "router"'})
        try:
            yield
        finally:
            self.ended(child)
            shutil.rmtree(place)

    def kept(self, topic):
        # `timeout` besides its own -W, whose signal it has been seen to miss: it then waited for an hour.
        run = subprocess.run(["timeout", "-k", "1", "3", "mosquitto_sub", "-p", self.PORT, "-t", topic, "-W", "1", "-F", "%r %t %p"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        rows = [line.split(" ", 2) for line in run.stdout.decode().splitlines()]
        # A live message may come in between.
        return {row[1]: row[2] for row in rows if row[0] == "1"}

    def sensors(self):
        found = self.kept("homeassistant/sensor/+/+/config")
        return found if len(found) == 5 else None

    def state(self):
        return json.loads(until("the state", lambda: self.kept(f"{self.TOPIC}/state"))[f"{self.TOPIC}/state"])

    def until_available(self, word, seconds=20):
        until(word, lambda: self.kept(f"{self.TOPIC}/available").get(f"{self.TOPIC}/available") == word, seconds)

    def test_mosquitto_keeps_announcements_and_state_and_hears_when_the_daemon_hangs(self):
        status = WORLD.status()
        # Debian's form.
        with self.script("diswall"):
            configs = until("five sensors", self.sensors)
            state = self.state()
            self.assertEqual((state["state"], state["bans"]), (status["state"], status["bans"]["total"]))
            for topic, text in configs.items():
                config = json.loads(text)
                key = topic.split("/")[3]
                self.assertEqual(config["state_topic"], f"{self.TOPIC}/state")
                self.assertEqual(config["value_template"], "{{ value_json.%s }}" % key)
                self.assertIn(key, state)
                self.assertEqual(config["device"]["sw_version"], status["version"])
                self.assertEqual(config["origin"], {"name": "diswall", "sw_version": status["version"]})
            self.until_available("online")
            with WORLD.hanging():
                # The client by itself gives up after ten seconds.
                self.until_available("offline", 8)
            self.until_available("online")

    def test_a_routers_form_says_the_same(self):
        status = WORLD.status()
        with self.script("ubus", "jsonfilter"):
            until("five sensors", self.sensors)
            state = self.state()
            count = sum(problem["severity"] != "notice" for problem in status["problems"])
            self.assertEqual((state["state"], state["bans"], state["problems"]), (status["state"], status["bans"]["total"], count))
            self.until_available("online")

    def test_a_broker_that_forgot_everything_is_told_again(self):
        with self.script("diswall"):
            until("five sensors", self.sensors)
            self.ended(self.broker)
            self.broker = self.started_broker()
            until("five sensors again", self.sensors)

    def test_home_assistant_is_told_of_every_state_there_is(self):
        # It takes no other for a sensor of this class, and says so in its log each time.
        with self.script("diswall"):
            config = json.loads(until("five sensors", self.sensors)["homeassistant/sensor/diswall_my__router_/state/config"])
        self.assertEqual((config["device_class"], config["options"]), ("enum", list(writer().STATES)))


def main():
    if not os.environ.get("DISWALL_NAMESPACE"):
        program = os.path.abspath(sys.argv[1])
        os.environ["DISWALL_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"', sys.executable,
                              os.path.abspath(__file__), program])
    global WORLD
    WORLD = World(sys.argv[1])
    try:
        result = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result
    finally:
        WORLD.end()
    bad = len(result.failures) + len(result.errors)
    print(f"# pass {result.testsRun - bad}\n# fail {bad}\n# skipped {len(result.skipped)}")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
