"""The runs folder in a browser: what is told of each run, that only what has changed is read, and that nobody else
gets anything."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcompare import files, results
from lmcompare.errors import ResourceError, UserError
from lmcompare.experiments import serve as serving
from lmcompare.experiments import study_pages
from lmcompare.experiments.overview import Overview, Tail
from lmcompare.experiments.serve import Server, trusted

CONFIG = {
    "backend": "bert",
    "transfer": {"name": "finetune"},
    "weights": "pretrained",
    "model": "",
    "seed": 1,
}


def begun(root: Path, name: str, *, steps: int = 4, total: int = 10, task: str = "micro.sentiment") -> Path:
    """A run folder in the middle of its work."""
    path = root / name
    path.mkdir(parents=True)
    config = CONFIG | {"task": {"name": task}}
    (path / "run.json").write_text(json.dumps({"kind": "finetune", "config": config}))
    budget = {"event": "budget", "unit": "steps", "total": total, "began": 0}
    (path / "events.jsonl").write_text(results.line(budget))
    rows = [{"step": step, "loss": 1 / step, "losses": {"task": 1 / step}} for step in range(1, steps + 1)]
    (path / "log.jsonl").write_text("".join(map(results.line, rows)))
    return path


def ended(path: Path, value: float = 0.75) -> None:
    primary = {"metric": "accuracy", "split": "test", "value": value}
    told = {"run": path.name, "primary": primary, "metrics": {}, "seconds": 3.0}
    (path / "result.json").write_text(json.dumps(told))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    made = Server(root, port=0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(5)


def get(server: Server, path: str, host: str = "", method: str = "GET") -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{server.server_address[1]}"})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def by_name(state: dict[str, Any]) -> dict[str, Any]:
    return {run["name"]: run for run in state["runs"]}


def test_each_run_with_its_state_and_progress(root: Path) -> None:
    done, lost = begun(root, "done"), begun(root, "lost")
    ended(done)
    files.write_json(lost / "failure.json", {"reason": "the loss was <b>not</b> finite", "status": 6})
    begun(root, "waiting")
    begun(root, "study/inner")
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text("{")
    (root / "empty").mkdir()
    overview = Overview(root)
    with results.locked(begun(root, "working")):
        state = overview.look()
        found = by_name(state)
        assert {name: run["status"] for name, run in found.items()} == {
            "done": "finished", "lost": "failed", "waiting": "unfinished", "study/inner": "unfinished",
            "broken": "unreadable", "working": "running",
        }  # fmt: skip
        assert found["working"]["step"] == 4 and found["working"]["total"] == 10
        assert found["working"]["loss"] == 0.25 and found["working"]["curve"][0] == (1, 1.0)
        assert found["working"]["what"] == "bert finetune · micro.sentiment · seed 1"
        assert found["done"]["figures"] == {"accuracy": 0.75}
        assert found["lost"]["reason"] == "the loss was <b>not</b> finite"
        assert state["counts"]["unfinished"] == 2
    # The lock has been given back, and nobody wrote anything.
    assert by_name(overview.look(state["version"]))["working"]["status"] == "unfinished"


def test_looking_never_takes_a_lock(root: Path) -> None:
    """A run that starts at the same moment must find its folder free."""
    path = begun(root, "run")
    with results.locked(path):
        pass
    overview, stop = Overview(root), threading.Event()

    def look() -> None:
        while not stop.is_set():
            overview.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            with results.locked(path):
                pass
    finally:
        stop.set()
        thread.join()


def test_only_what_has_changed_is_told(root: Path) -> None:
    for name in ("a", "b"):
        begun(root, name)
    overview = Overview(root)
    first = overview.look()
    assert set(by_name(first)) == {"a", "b"}
    second = overview.look(first["version"])
    assert second["runs"] == [] and second["gone"] == []
    results.append(root / "b" / "log.jsonl", {"step": 5, "split": "dev", "metrics": {"accuracy": 0.5}})
    third = overview.look(second["version"])
    assert set(by_name(third)) == {"b"}
    assert by_name(third)["b"]["figures"] == {"accuracy": 0.5} and by_name(third)["b"]["step"] == 5
    shutil.rmtree(root / "a")
    fourth = overview.look(third["version"])
    assert fourth["gone"] == ["a"] and fourth["runs"] == []
    assert set(by_name(overview.look())) == {"b"}


def test_a_log_is_read_from_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    tail = Tail(path)
    assert tail.read() == []
    path.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert [row["step"] for row in tail.read()] == [1, 2]
    with open(path, "a") as file:
        file.write('ep": 3}\n')
    assert [row["step"] for row in tail.read()] == [1, 2, 3]
    files.write(path, '{"step": 1}\n')  # rewound to a checkpoint: another file
    assert [row["step"] for row in tail.read()] == [1]


def test_five_hundred_runs_are_looked_at_in_no_time(root: Path) -> None:
    for number in range(500):
        ended(begun(root, f"study/run-{number:03}", steps=30, total=30))
    overview = Overview(root)
    state = overview.look()
    assert len(state["runs"]) == 500
    began = time.process_time()
    again = overview.look(state["version"])
    assert again["runs"] == [] and time.process_time() - began < 0.5
    assert len(json.dumps(state)) < 1 << 20


def test_it_serves_the_page_and_the_state(server: Server, root: Path) -> None:
    begun(root, "a")
    status, body, headers = get(server, "/")
    assert status == 200 and b"<title>runs" in body and headers["Content-Type"].startswith("text/html")
    assert "script-src 'sha256-" in body.decode() and "unsafe-inline" not in body.decode()
    status, body, headers = get(server, "/runs.json?since=0")
    state = json.loads(body)
    assert status == 200 and [run["name"] for run in state["runs"]] == ["a"]
    status, body, _ = get(server, f"/runs.json?since={state['version']}")
    assert json.loads(body)["runs"] == []
    for odd in ("/runs.json?since=x", "/runs.json?since=-1"):
        assert len(json.loads(get(server, odd)[1])["runs"]) == 1
    with urllib.request.urlopen(server.address, timeout=60) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "/../secret.txt", "/..%2fsecret.txt", "/study/..", "/study/../secret.txt", "/study/%2e%2e",
        "/study/..%2f", "/study/", "/study/missing", "/runs", "/runs.json/", "/study/linked", "/a/run.json",
    ],
)  # fmt: skip
def test_there_is_no_other_path(server: Server, root: Path, path: str) -> None:
    (root.parent / "secret.txt").write_text("secret")
    begun(root, "a")
    (root.parent / "elsewhere").mkdir()
    files.write_json(root.parent / "elsewhere" / "study.json", {"title": "t", "quick": False, "runs": {}})
    files.write_json(root.parent / "study.json", {"title": "t", "quick": False, "runs": {}})
    (root / "linked").symlink_to(root.parent / "elsewhere")
    status, body, _ = get(server, path)
    assert status == 404 and b"secret" not in body


def test_a_link_out_of_the_folder_is_not_followed(root: Path) -> None:
    begun(root.parent / "elsewhere", "run")
    (root / "linked").symlink_to(root.parent / "elsewhere" / "run")
    (root / "deeper").symlink_to(root.parent / "elsewhere")
    assert Overview(root).look()["runs"] == []


def test_it_answers_get_alone_and_to_its_own_name(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert get(server, "/runs.json", method=method)[0] == 405
    port = server.server_address[1]
    for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}"):
        status, body, _ = get(server, "/runs.json", host=host)
        assert status == 421 and b"runs" not in body
        assert f"open {server.address}, or start it with --host NAME" in body.decode()
    for own in (socket.gethostname(), socket.getfqdn()):
        assert get(server, "/runs.json", host=f"{own}:{port}")[0] == 200
    assert get(server, "/runs.json", host=f"localhost:{port}")[0] == 200
    assert trusted("[::1]:80", "x") and trusted("box:1", "box")
    assert not trusted("", "x") and not trusted("box.example", "x") and not trusted("[", "x")


def test_a_study_has_its_report_made_once_until_its_list_changes(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(study_pages.page, "render", lambda comparison: made.append(1) or f"page {len(made)}")
    folder = root / "my study"
    folder.mkdir()
    ledger = {"title": "A <study>", "quick": False, "runs": {}}
    files.write_json(folder / "study.json", ledger)
    assert [get(server, "/study/my%20study")[1] for _ in range(2)] == [b"page 1"] * 2
    files.write_json(folder / "study.json", ledger | {"title": "Another"})
    assert get(server, "/study/my%20study")[1] == b"page 2"
    (study,) = json.loads(get(server, "/runs.json")[1])["studies"]
    assert study == {"name": "my study", "title": "Another", "running": 0, "finished": 0, "failed": 0}
    (folder / "study.json").write_text("{")
    (study,) = json.loads(get(server, "/runs.json")[1])["studies"]
    assert "cannot be read" in study["reason"]
    assert get(server, "/study/my%20study")[0] == 500


def test_an_address_that_can_be_opened_and_who_may_open_it(root: Path) -> None:
    for host, exposed in (("127.0.0.1", False), ("0.0.0.0", True)):
        server = Server(root, host, port=0)
        try:
            assert server.exposed is exposed and "0.0.0.0" not in server.address
        finally:
            server.server_close()


def test_figures_keep_their_size() -> None:
    """The page's own function, by a program that reads JavaScript."""
    if (node := shutil.which("node")) is None:
        pytest.skip("needs Node.js: none on the PATH")
    script = (Path(serving.live.HERE) / "live.js").read_text()
    (function,) = [line for line in script.splitlines() if "const figure =" in line]
    asked = "[1000, 100, 20, 1234.56, 0.5, 0.75, 1, 0, 12345678, 0.1, null]"
    code = f"{function}\nconsole.log(JSON.stringify({asked}.map(figure)))"
    told = subprocess.run([node, "-e", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == [
        "1000", "100", "20", "1235", "0.5", "0.75", "1", "0", "12350000", "0.1", "–",
    ]  # fmt: skip


def test_what_cannot_be_served_is_said(tmp_path: Path, server: Server) -> None:
    with pytest.raises(UserError, match="no such folder"):
        serving.serve(tmp_path / "missing", told=print)
    with pytest.raises(ResourceError, match="already in use"):
        Server(tmp_path, port=server.server_address[1])


@pytest.mark.slow
def test_ctrl_c_ends_it(root: Path) -> None:
    command = [sys.executable, "-m", "lmcompare", "serve", str(root), "--port", "0"]
    around = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=around)
    assert process.stdout is not None
    line = process.stdout.readline()
    address = line.split(" at ")[1].split(" ")[0]
    with urllib.request.urlopen(f"{address}runs.json", timeout=60) as answer:
        assert json.load(answer)["runs"] == []
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 130 and "Traceback" not in err


@pytest.mark.browser
def test_the_page_follows_what_happens(server: Server, root: Path, browser: Any) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    first = begun(root, "first", task=f"micro.{nasty}")
    files.write_json(begun(root, "lost") / "failure.json", {"reason": nasty, "status": 6})
    noise: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("console", lambda message: noise.append(message.text))
    page.on("dialog", lambda dialog: (noise.append(dialog.message), dialog.dismiss()))
    page.goto(server.address)
    page.wait_for_selector("#runs tr:nth-child(2)")
    page.evaluate("window.kept = document.querySelector('#runs tr')")
    assert page.locator("#runs tr.failed .why").inner_text() == nasty
    assert page.locator("img").count() == 0
    ended(first)
    page.wait_for_selector("#runs tr.finished", timeout=10_000)
    assert "accuracy 0.75" in page.locator("#runs tr.finished").inner_text()
    assert page.evaluate("window.kept.isConnected")  # a row that stays is the same element
    page.fill("#find", "lost")
    assert page.locator("#runs tr:visible").count() == 1
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
    assert noise == []
