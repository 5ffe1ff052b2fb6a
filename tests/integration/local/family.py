"""A program with a worker below it which has its port, as a server with several processes is; says ``ready`` when it listens.

python -m tests.integration.local.family 12345
"""

from __future__ import annotations

import subprocess
import sys

WORKER = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("ready", flush=True)
    time.sleep(1000)
"""


def main() -> int:
    """Start the worker and wait for it."""
    return subprocess.run([sys.executable, "-c", WORKER, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
