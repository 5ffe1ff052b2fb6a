"""`./dev run` where its users put it: under a path with a space, a quote and a letter, as another user than root, without a
UTF-8 locale, with a home that has such a path as well.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from local.guard import descendants, parents
from tests.acceptance.started import ROOT, free_port, life_of, until, until_gone
from tests.acceptance.test_running import new_order

pytestmark = pytest.mark.own_service

NOBODY = 65_534
READY_LIMIT_S = 420.0  # the environment is made, and RabbitMQ fetched, for this user
COMMAND_LIMIT_S = 240
PYTHONS = (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3")
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if os.geteuid() == 0 else ()


def python_of_everybody() -> str:
    """A Python that whoever runs the service may run; a root's own may lie in a folder that is closed to others."""
    # It has to be able to start itself: the first start may still be made with root's rights.
    look = "import subprocess, sys; sys.exit(sys.version_info < (3, 11) or subprocess.call([sys.executable, '-c', '']))"
    for python in PYTHONS:
        tried = subprocess.run([*AS_NOBODY, python, "-c", look], cwd="/", capture_output=True, check=False)
        if tried.returncode == 0:
            return python
    raise AssertionError(f"another user than root can run none of {PYTHONS}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with an awkward name that another user owns; the test's own temporary folder is closed to others."""
    outer = Path(tempfile.mkdtemp(prefix="ordersvc-", dir="/var/tmp"))
    folder = outer / 'órdenes de O\'Neill "2"'
    folder.mkdir()
    (folder / "home").mkdir()
    shutil.copytree(ROOT, folder / "check out", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    if AS_NOBODY:
        for path in (outer, *outer.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    yield folder
    shutil.rmtree(outer)


def test_it_runs_under_an_awkward_path_as_another_user_and_its_environment_is_left_alone(place: Path) -> None:
    """The scripts of RabbitMQ and Erlang, Valkey's configuration, ``initdb`` and Ray's workers each stumbled over one of these.

    And ``./dev token`` under another lock file (or Python) used to rewrite the environment that a service runs from.
    """
    project, port = place / "check out", free_port()
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C",
        "HOME": str(place / "home"),
        "ORDERSVC_HTTP_PORT": str(port),
        "ORDERSVC_STATE_DIR": "",  # not set
    }
    # Where packages come from is set up for this machine's users, perhaps in the environment.
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_INDEX"))}
    dev = [*AS_NOBODY, python_of_everybody(), str(project / "dev")]
    output = place / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*dev, "run"],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        endpoints_file = project / ".state/endpoints.json"

        def is_ready() -> bool:
            assert process.poll() is None, output.read_text(errors="replace")
            return endpoints_file.exists()

        until(is_ready, "ready", READY_LIMIT_S)
        endpoints = json.loads(endpoints_file.read_text())
        assert new_order(endpoints)["status"] == "validated"

        (used,) = project.glob(".venv-*/made-from")
        before = used.stat().st_ino, used.stat().st_ctime_ns
        with (project / "requirements.lock").open("a") as lock:
            lock.write("# another content, and so another environment\n")
        told = subprocess.run(
            [*dev, "token", "--scope", "admin"],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        assert len(list(project.glob(".venv-*/made-from"))) == 2
        assert (used.stat().st_ino, used.stat().st_ctime_ns) == before
        with urlopen(endpoints["api"] + "/health/ready", timeout=10) as answer:  # noqa: S310 - our own address
            assert json.load(answer)["status"] == "ok"
        assert new_order(endpoints | {"token": told.stdout.strip()})["status"] == "validated"
    finally:
        everything = descendants(process.pid, parents()) | {process.pid}
        lives = {pid: life for pid in everything if (life := life_of(pid)) is not None}
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        until_gone(lives)
    assert not Path((project / ".state/elsewhere").read_text()).exists(), "what had to lie under a plain path is gone"
