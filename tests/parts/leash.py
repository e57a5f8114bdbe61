"""Runs one server for as long as somebody holds this process's standard input.

Whoever starts a server may be interrupted or killed at any moment; the pipe then closes by itself and the
server is ended. Being the server's parent, the leash never signals a process id that was given away again.

Usage: ``python leash.py SIGNAL UID command...``. A line ``suspend`` stops the server in its tracks and
``resume`` lets it go on; ``kill`` ends it without warning; the end of input, or any other line, sends SIGNAL
and kills it after ten seconds. UID ``-`` is our own.
"""

import os
import signal
import subprocess
import sys
import threading
from typing import IO

PATIENCE_SECONDS = 10
PASSING = {"suspend": signal.SIGSTOP, "resume": signal.SIGCONT}


def _obey(server: "subprocess.Popen[bytes]", orders: IO[str], ask: signal.Signals) -> None:
    while (order := orders.readline().strip()) in PASSING:
        server.send_signal(PASSING[order])
    if order == "kill":
        server.kill()
        return
    server.send_signal(ask)
    server.send_signal(signal.SIGCONT)  # one that is suspended would never hear of it
    try:
        server.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


def main(ask: str, uid: str, *command: str) -> int:
    """Run the command to its end and return its status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Ctrl-C reaches the whole group, but the pipe says when to stop. Ignoring would be inherited.
        signal.signal(number, lambda *_: None)
    user = None if uid == "-" else int(uid)
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        start_new_session=True,
    )
    threading.Thread(target=_obey, args=(server, sys.stdin, signal.Signals[ask]), daemon=True).start()
    return server.wait()


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    os._exit(status if status >= 0 else 128 - status)
