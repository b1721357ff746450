"""A real PostgreSQL cluster for one test session, made by initdb and thrown away."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from builders.peers import LOOPBACK, free_tcp_port, program

SUPERUSER = "postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresCluster:
    """A running server on loopback."""

    port: int
    folder: Path

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[PostgresCluster]:
        """Start one in a folder of its own. PostgreSQL refuses to run as root: then it runs as the user postgres."""
        folder = Path(tempfile.mkdtemp(prefix="spine-postgres-"))
        if os.geteuid() == 0:
            shutil.chown(folder, SUPERUSER, SUPERUSER)
        cluster = cls(port=free_tcp_port(), folder=folder)
        try:
            cluster._run("initdb", "-D", str(cluster._data), "-U", SUPERUSER, "--auth=trust", "--no-sync", "-E", "UTF8")
            cluster.start()
            yield cluster
            cluster.stop("immediate")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses={LOOPBACK} -c unix_socket_directories= -c max_connections=200"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast``, or ``immediate`` like a crash."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"spine_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(
            host=LOOPBACK, port=self.port, user=SUPERUSER, dbname="postgres", autocommit=True
        ) as server:
            server.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://{SUPERUSER}@{LOOPBACK}:{self.port}/{name}"

    def _run(self, name: str, *arguments: str) -> None:
        executable = program(name)
        assert executable is not None, f"{name} is not installed"
        command: Sequence[str] = [str(executable), *arguments]
        if os.geteuid() == 0:
            account = pwd.getpwnam(SUPERUSER)
            command = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", *command]
        finished = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=self.folder, stdin=subprocess.DEVNULL
        )
        assert finished.returncode == 0, f"{name} ended with {finished.returncode}: {finished.stderr}"
