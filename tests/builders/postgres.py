"""A real PostgreSQL cluster for one test session, made by initdb and thrown away; and a standby that follows it."""

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
    """A running server."""

    port: int
    folder: Path
    host: str = LOOPBACK
    prefix: tuple[str, ...] = ()
    """What its programs are started with, on another host."""

    @classmethod
    @contextmanager
    def started(cls, *, host: str = LOOPBACK, prefix: tuple[str, ...] = ()) -> Iterator[PostgresCluster]:
        """Start one in a folder of its own. PostgreSQL refuses to run as root: then it runs as the user postgres."""
        with cls._placed(host, prefix) as cluster:
            cluster._run("initdb", "-D", str(cluster._data), "-U", SUPERUSER, "--auth=trust", "--no-sync", "-E", "UTF8")
            if host != LOOPBACK:
                with (cluster._data / "pg_hba.conf").open("a", encoding="ascii") as rules:
                    rules.write("host all all 0.0.0.0/0 trust\n")
            cluster.start()
            yield cluster

    @contextmanager
    def standby(self) -> Iterator[PostgresCluster]:
        """Start a hot standby of this one, which waits for it with every commit."""
        with self._placed(self.host, self.prefix) as copy:
            source = ("-h", self.host, "-p", str(self.port), "-U", SUPERUSER)
            copy._run("pg_basebackup", *source, "-D", str(copy._data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
            copy.start()
            with self._connected() as server:
                server.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                server.execute("SELECT pg_reload_conf()")
            yield copy

    @classmethod
    @contextmanager
    def _placed(cls, host: str, prefix: tuple[str, ...]) -> Iterator[PostgresCluster]:
        folder = Path(tempfile.mkdtemp(prefix="spine-postgres-"))
        if os.geteuid() == 0:
            shutil.chown(folder, SUPERUSER, SUPERUSER)
        cluster = cls(port=free_tcp_port(), folder=folder, host=host, prefix=prefix)
        try:
            yield cluster
        finally:
            if cluster.is_running():
                cluster.stop("immediate")
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def is_running(self) -> bool:
        """Whether there is a server."""
        return (self._data / "postmaster.pid").exists()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses={self.host} -c unix_socket_directories= -c max_connections=200"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-t", "60", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast``, or ``immediate`` like a crash."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def promote(self) -> None:
        """Make a standby the primary, which then waits for nobody."""
        with self._connected() as server:
            server.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        self._run("pg_ctl", "-D", str(self._data), "-w", "promote")

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"spine_{uuid.uuid4().hex[:12]}"
        with self._connected() as server:
            server.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://{SUPERUSER}@{self.host}:{self.port}/{name}"

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection]:
        place = {"host": self.host, "port": self.port, "user": SUPERUSER, "dbname": "postgres"}
        with psycopg.connect(**place, autocommit=True) as server:  # type: ignore[arg-type]
            yield server

    def _run(self, name: str, *arguments: str) -> None:
        executable = program(name)
        assert executable is not None, f"{name} is not installed"
        command: Sequence[str] = [str(executable), *arguments]
        if os.geteuid() == 0:
            account = pwd.getpwnam(SUPERUSER)
            command = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", *command]
        finished = subprocess.run(
            [*self.prefix, *command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
        )
        assert finished.returncode == 0, f"{name} ended with {finished.returncode}: {finished.stderr}"
