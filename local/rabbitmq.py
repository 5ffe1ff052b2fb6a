"""A private RabbitMQ: on loopback, with a random password, its data and its whole configuration in the state folder.

It runs as one Erlang process with an epmd of its own beside it, both children of ours. Whatever Debian's scripts would
take from the machine (configuration, cookie, node name, plugins) is set here, so an installed RabbitMQ is not touched.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from pathlib import Path

from local import debian
from local.children import Child, answers
from local.errors import LocalError
from local.state import State, write_private

START_LIMIT_S = 60.0
STOP_LIMIT_S = 15.0
EVALUATE_LIMIT_S = 20.0
USER = "ordersvc"
NODE = "rabbit@localhost"
AMQP_GREETING = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"  # the server's Connection.Start: it is willing to talk

CONFIGURATION = """
[{{rabbit, [
   {{tcp_listeners, [{{"127.0.0.1", {port}}}]}},
   {{default_user, <<"{user}">>}},
   {{default_pass, <<"{password}">>}},
   {{num_tcp_acceptors, 2}},
   {{disk_free_limit, 50000000}},
   {{log, [{{file, [{{level, warning}}]}}]}}
 ]}}].
"""


def needed_plugins(folder: Path) -> list[str]:
    """The folder names of RabbitMQ's own parts: ``rabbit`` and whatever it names as its applications, and theirs."""
    by_name = {path.name.rsplit("-", 1)[0]: path for path in folder.iterdir() if path.is_dir()}
    waiting = ["rabbit", "rabbitmq_prelaunch"]
    found: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in found or name not in by_name:
            continue
        found[name] = by_name[name].name
        described = (by_name[name] / "ebin" / f"{name}.app").read_text()
        for listed in re.findall(r"(?:optional_)?applications\s*,\s*\[([^\]]*)\]", described):
            waiting += re.findall(r"\w+", listed)
    return sorted(found.values())


class RabbitMQ:
    """One RabbitMQ with its data in ``<state>/rabbitmq``. ``start``, then ``url``; ``stop`` keeps the data."""

    name = "rabbitmq"

    def __init__(self, state: State) -> None:
        self._state = state
        state.subfolder(self.name)
        self._folder = state.plain_folder / self.name
        self._epmd: Child | None = None
        self._erlang_programs = Path()
        self._environment: dict[str, str] = {}
        self.child: Child | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The AMQP URL with the password in it, for the default vhost."""
        return f"amqp://{USER}:{self._state.secret(self.name)}@127.0.0.1:{self.port}/"

    async def start(self) -> None:
        """Return when clients can connect. Raises ``LocalError`` (none installed, none fetched), ``NotReady``."""
        installation = await asyncio.to_thread(debian.find)
        await self.stop()  # where only one of the two died
        self._prepare(installation)
        epmd_port = int(self._environment["ERL_EPMD_PORT"])
        self._epmd = Child(
            "epmd",
            [self._erlang_programs / "epmd", "-address", "127.0.0.1", "-port", str(epmd_port)],
            log=self._state.folder / "epmd.log",
            environment=self._environment,
            folder=self._folder,
        )
        await self._epmd.until(lambda: _is_open(epmd_port), START_LIMIT_S)
        self.child = Child(
            self.name,
            ["/bin/sh", self._folder / "home/sbin/rabbitmq-server"],
            log=self._state.folder / "rabbitmq.log",
            environment=self._environment,
            folder=self._folder,
        )
        await self.child.until(self.is_ready, START_LIMIT_S)

    async def is_ready(self) -> bool:
        """Whether it answers a client's greeting."""
        return await answers("127.0.0.1", self.port, say=AMQP_GREETING) == METHOD_FRAME

    async def stop(self) -> None:
        """End it cleanly, then its epmd."""
        if self.child is not None:
            await self.child.stop(signal.SIGTERM, STOP_LIMIT_S)
        if self._epmd is not None:
            await self._epmd.stop(signal.SIGKILL, STOP_LIMIT_S)

    def control(self) -> tuple[list[str], dict[str, str]]:
        """``rabbitmqctl`` for this server: how its command line begins, and its environment; no secret is in either."""
        return ["/bin/sh", str(self._folder / "home/sbin/rabbitmqctl")], dict(self._environment)

    async def evaluate(self, expression: str) -> str:
        """Run an Erlang expression in the server, in milliseconds (rabbitmqctl: a second). Raises ``LocalError``."""
        caller = await asyncio.create_subprocess_exec(
            str(self._erlang_programs / "erl_call"), "-sname", NODE, "-timeout", str(int(EVALUATE_LIMIT_S)), "-e",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
        )  # fmt: skip
        output, _ = await caller.communicate(f"{expression}.\n".encode())
        answer = output.decode(errors="replace").strip()
        if caller.returncode != 0 or not answer.startswith("{ok,"):
            message = f"rabbitmq refused {expression!r}: {answer}"
            raise LocalError(message)
        return answer.removeprefix("{ok, ").removesuffix("}")

    async def add_vhosts(self, names: list[str]) -> None:
        """Make vhosts in which the user of ``url`` may do everything."""
        listed = ",".join(f'<<"{name}">>' for name in names)
        await self.evaluate(
            f'lists:foreach(fun(V) -> rabbit_vhost:add(V, <<"test">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, V, <<".*">>, <<".*">>, <<".*">>, <<"test">>) '
            f"end, [{listed}])"
        )

    async def delete_vhost(self, name: str) -> None:
        """Delete a vhost with all that is in it; its connections are closed."""
        await self.evaluate(f'rabbit_vhost:delete(<<"{name}">>, <<"test">>)')

    def _prepare(self, installation: debian.Installation) -> None:
        self._erlang_programs = installation.erlang_programs
        self.port = self._state.port("rabbitmq")
        folder = self._folder
        self._link_home(installation.home)
        cookie = folder / ".erlang.cookie"
        if not cookie.exists():
            write_private(cookie, self._state.secret("erlang-cookie"))
            cookie.chmod(0o400)
        password = self._state.secret(self.name)
        write_private(folder / "advanced.config", CONFIGURATION.format(port=self.port, user=USER, password=password))
        (folder / "enabled_plugins").write_text("[].\n")
        self._environment = {
            "PATH": f"{self._erlang_programs}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": installation.library_path(),
            "ERL_EPMD_PORT": str(self._state.port("epmd")),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Has the script replace itself by the Erlang machine, which handles SIGTERM by a clean stop.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_SCRIPTS_DIR": str(folder / "home/sbin"),
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._state.port("rabbitmq-distribution")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(folder / "home/plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_MNESIA_DIR": str(folder / "data/node"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "data/plugins"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "data/feature_flags"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "data/config"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }

    def _link_home(self, original: Path) -> None:
        """A home with RabbitMQ's own parts only: it reads every plugin folder at its start, which costs a second."""
        home = self._folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        (home / "plugins").mkdir(parents=True)
        for name in ("sbin", "escript"):
            (home / name).symlink_to(original / name)
        for name in needed_plugins(original / "plugins"):
            (home / "plugins" / name).symlink_to(original / "plugins" / name)


async def _is_open(port: int) -> bool:
    return await answers("127.0.0.1", port) is not None
