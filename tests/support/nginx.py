"""A real nginx in front of something, as people run it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.binaries import find_binary
from tests.support.waiting import wait_until

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx_config(inside_server: str, listen: str, folder: Path) -> str:
    """A whole configuration around the content of one server block; it writes nothing outside of `folder`."""
    paths = "".join(f"{each}_temp_path {folder}/{each}; " for each in _TEMPORARY)
    http = f"access_log off; {paths} server {{ listen {listen};\n{inside_server}\n}}"
    return f"pid {folder}/nginx.pid; error_log stderr; daemon off; master_process off; events {{}}\nhttp {{ {http} }}"


@contextmanager
def nginx(inside_server: str, folder: Path) -> Iterator[str]:
    """Run it on a free loopback port until the block ends; yields its url, without a slash at the end."""
    program = find_binary("nginx")
    assert program is not None, "nginx is not installed; run `make setup`"
    with socket.socket() as probe:  # nginx itself cannot be asked for a free port
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nginx.conf"
    file.write_text(nginx_config(inside_server, f"127.0.0.1:{port}", folder))
    with (folder / "nginx.log").open("w") as log:
        process = subprocess.Popen([program, "-c", str(file), "-p", str(folder)], stderr=log)
        try:
            wait_until(lambda: _answers(port), 10, "nginx listens")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
