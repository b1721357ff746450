"""A real server that speaks S3 (SeaweedFS), started for some tests and killed after them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import urllib3
from minio import Minio
from minio.error import MinioException

from builders.peers import LOOPBACK, free_tcp_port, program, wait_until

ACCESS_KEY, SECRET_KEY = "node", "a-secret-of-the-node"
START_TIMEOUT_S = 60.0
PORTS = tuple(f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc"))


@dataclass(slots=True, kw_only=True)
class Seaweed:
    """A server; it can be stopped and started again with what it holds."""

    folder: Path
    ports: Mapping[str, int] = field(default_factory=lambda: {name: free_tcp_port() for name in PORTS})
    """It finds what it holds by them."""
    tls: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def started(cls, *, tls: Sequence[str] = ()) -> Iterator[Seaweed]:
        """Start one in a folder of its own; with certificate and key files it speaks TLS."""
        server = cls(folder=Path(tempfile.mkdtemp(prefix="spine-seaweed-")), tls=tls)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)

    @property
    def port(self) -> int:
        """Where it speaks S3."""
        return self.ports["s3.port"]

    def start(self) -> None:
        """Start it and wait until it answers."""
        identity = {"name": "node", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
        keys = self.folder / "s3.json"
        keys.write_text(json.dumps({"identities": [identity | {"actions": ["Admin", "Read", "Write", "List"]}]}))
        (self.folder / "data").mkdir(exist_ok=True)
        executable = program("weed")
        assert executable is not None, "weed is not installed"
        words = [f"-{name}={port}" for name, port in self.ports.items()]
        words += [f"-dir={self.folder / 'data'}", f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}"]
        words += ["-s3", f"-s3.config={keys}"]
        words += ["-volume.max=1000", "-master.volumeSizeLimitMB=64", "-s3.iam=false", "-s3.autoCreateBucket=false"]
        words += ["-s3.port.iceberg=0", "-s3.port.lance=0", *self.tls]
        with (self.folder / "log").open("ab") as log:
            command = [str(executable), "-logtostderr=true", "server", *words]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=dict(os.environ))
        wait_until(self.answers, timeout_s=START_TIMEOUT_S, what=f"SeaweedFS ({self.folder / 'log'})", poll_s=0.2)

    def stop(self) -> None:
        """Kill it, as a power cut would: an orderly stop takes ten seconds."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
        self._process = None

    def answers(self) -> bool:
        """Whether a bucket can be made."""
        try:
            self.new_bucket()
        except (MinioException, urllib3.exceptions.HTTPError):
            return False
        return True

    @property
    def client(self) -> Minio:
        """A client of the tests, which believes any certificate."""
        pool = urllib3.PoolManager(retries=False, timeout=10, cert_reqs="CERT_NONE", assert_hostname=False)
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        return Minio(
            f"{LOOPBACK}:{self.port}",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            secure=bool(self.tls),
            region="us-east-1",
            http_client=pool,
        )

    def new_bucket(self) -> str:
        """The address of an empty bucket, as the setting takes it."""
        name = f"spine-{uuid4().hex[:12]}"
        self.client.make_bucket(name)
        return f"{'https' if self.tls else 'http'}://{LOOPBACK}:{self.port}/{name}"

    def key_file(self, folder: Path) -> Path:
        """A file of our keys, as the setting takes it."""
        path = folder / "s3.keys"
        path.write_text(f"{ACCESS_KEY}\n{SECRET_KEY}\n")
        return path

    def names(self, address: str) -> set[str]:
        """The names of all objects of a bucket."""
        bucket = address.rpartition("/")[2]
        return {str(one.object_name) for one in self.client.list_objects(bucket, recursive=True)}
