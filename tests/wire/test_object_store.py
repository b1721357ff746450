"""The object store against a real S3 server: what is put is what is read, and every failure has its sentence."""

from __future__ import annotations

import io
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from builders.peers import LOOPBACK, wait_until
from builders.seaweed import ACCESS_KEY, Seaweed
from dicom_node.object_store import ObjectStoreFailure
from inference.errors import SettingRefusal
from server import s3
from server.checks.objects import check_objects
from server.object_store import object_store
from server.s3 import PART_BYTES, Bucket, S3Store
from server.settings import Settings

pytestmark = pytest.mark.peer("seaweedfs")


def store_of(bucket: str, folder: Path, seaweed: Seaweed, **values: object) -> S3Store:
    settings = Settings(
        object_store=bucket, object_store_key_file=seaweed.key_file(folder), data_dir=folder / "data", **values
    )
    made = object_store(settings)
    assert isinstance(made, S3Store)
    return made


@pytest.fixture
def store(bucket: str, tmp_path: Path, seaweed: Seaweed) -> S3Store:
    return store_of(bucket, tmp_path, seaweed)


@pytest.mark.parametrize("size", [0, 1, 200_000, PART_BYTES, 2 * PART_BYTES + 3])
def test_what_is_put_is_what_is_read(store: S3Store, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert not store.has("received/aa/1.2.3/4-5.dcm")
    assert not store.get("received/aa/1.2.3/4-5.dcm", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()

    for _ in range(2):  # again is harmless
        store.put("received/aa/1.2.3/4-5.dcm", tmp_path / "file")
    assert store.has("received/aa/1.2.3/4-5.dcm")
    assert store.get("received/aa/1.2.3/4-5.dcm", tmp_path / "read")
    assert (tmp_path / "read").read_bytes() == content
    store.put("received/ab/other", tmp_path / "file")
    assert list(store.names("received/aa/")) == ["received/aa/1.2.3/4-5.dcm"]
    for _ in range(2):
        store.remove("received/aa/1.2.3/4-5.dcm")
    assert list(store.names("received/")) == ["received/ab/other"]


def test_what_was_changed_in_the_bucket_is_not_read(
    store: S3Store, bucket: str, seaweed: Seaweed, tmp_path: Path
) -> None:
    name = bucket.rpartition("/")[2]
    seaweed.client.put_object(name, "without", io.BytesIO(b"abc"), 3)
    seaweed.client.put_object(name, "other", io.BytesIO(b"abc"), 3, metadata={"sha256": "00" * 32})
    for name in ("without", "other"):
        with pytest.raises(ObjectStoreFailure, match="not what was put there"):
            store.get(name, tmp_path / "read")
        assert not (tmp_path / "read").exists()


def test_a_wrong_key_a_missing_bucket_and_a_dead_server_are_said(seaweed: Seaweed, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    wrong = S3Store(
        Bucket(
            endpoint=f"127.0.0.1:{seaweed.port}",
            name="spine",
            is_tls=False,
            region="us-east-1",
            access_key=ACCESS_KEY,
            secret_key="wrong",  # noqa: S106 - on purpose
        )
    )
    with pytest.raises(ObjectStoreFailure, match=r"refuses \(SignatureDoesNotMatch\)"):
        wrong.put("name", tmp_path / "file")
    with pytest.raises(ObjectStoreFailure, match=r"refuses \(NoSuchBucket\)"):
        store_of(f"http://127.0.0.1:{seaweed.port}/nowhere", tmp_path, seaweed).put("name", tmp_path / "file")
    dead = store_of("http://127.0.0.1:9/spine", tmp_path, seaweed)
    for ask in (lambda: dead.get("name", tmp_path / "read"), lambda: dead.has("n"), lambda: list(dead.names(""))):
        with pytest.raises(ObjectStoreFailure, match=r"does not answer \(MaxRetryError\)"):
            ask()


def bucket_at(port: int) -> Bucket:
    return Bucket(
        endpoint=f"{LOOPBACK}:{port}",
        name="spine",
        is_tls=False,
        region="r",
        access_key="k",
        secret_key="longer-secret",  # noqa: S106 - of nobody
    )


def test_a_store_that_hangs_is_given_up_and_not_asked_by_all_who_wait() -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        store = S3Store(bucket_at(silent.getsockname()[1]), answer_s=0.5)
        began = time.monotonic()
        with pytest.raises(ObjectStoreFailure, match=r"does not answer \(MaxRetryError\)"):
            store.has("name")
        waited = time.monotonic() - began
        with pytest.raises(ObjectStoreFailure, match=r"does not answer \(MaxRetryError\)"):
            store.has("name")
        assert time.monotonic() - began - waited < 0.1 < waited < 5


def test_one_at_a_time_asks_a_store_that_hung_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "AWAY_S", 0.0)
    answers, asked = threading.Event(), []

    class Hanging(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            answers.wait(30)
            self.send_response(200)
            for name, value in (("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT"), ("Content-Length", "0")):
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Hanging) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = S3Store(bucket_at(server.server_port), answer_s=1.0)
        with pytest.raises(ObjectStoreFailure):
            store.has("name")
        with ThreadPoolExecutor() as threads:
            probe = threads.submit(store.has, "name")
            wait_until(store._probe.locked, timeout_s=5, what="the one that asks")
            for _ in range(50):
                with pytest.raises(ObjectStoreFailure, match="does not answer"):
                    store.has("name")
            with pytest.raises(ObjectStoreFailure):
                probe.result()
        assert len(asked) == 4  # the first and the probe, each tried twice
        answers.set()
        assert all(store.has("name") for _ in range(2))
        server.shutdown()


def test_an_answer_of_no_store_is_refused() -> None:
    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html><p>Sign in</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with HTTPServer((LOOPBACK, 0), Portal) as portal:
        threading.Thread(target=portal.serve_forever, daemon=True).start()
        with pytest.raises(ObjectStoreFailure, match="does not answer"):
            list(S3Store(bucket_at(portal.server_port)).names(""))
        portal.shutdown()


def test_over_tls_only_an_authority_of_the_settings_is_believed(tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ours.pem")
    theirs.cert_pem.write_to_path(tmp_path / "theirs.pem")
    certificate = ours.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "file").write_bytes(b"abc")
    with Seaweed.started(tls=(f"-s3.cert.file={tmp_path / 'chain.pem'}", f"-s3.key.file={tmp_path / 'key.pem'}")) as it:
        theirs = it.new_bucket()
        believed = store_of(theirs, tmp_path, it, object_store_ca_file=tmp_path / "ours.pem")
        believed.put("name", tmp_path / "file")
        assert believed.has("name")
        with pytest.raises(ObjectStoreFailure, match="does not answer"):
            store_of(theirs, tmp_path, it, object_store_ca_file=tmp_path / "theirs.pem").has("name")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"object_store": "http://10.0.0.5/spine"}, "begins with https://"),
        ({"object_store": "https://me:secret@host/spine"}, "holds no password"),
        ({"object_store": "https://host"}, "name of one bucket"),
        ({"object_store": "https://host/a/b"}, "name of one bucket"),
        ({"object_store": "https://host/a", "object_store_key_file": None}, "needs object_store_key_file"),
        ({"object_store": "https://host/a"}, "holds two lines"),
        ({"object_store": "https://host/a", "object_store_key_file": Path("/nowhere")}, "cannot be read"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, object], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\n")
    with pytest.raises(SettingRefusal, match=sentence):
        object_store(Settings(**({"object_store_key_file": tmp_path / "keys"} | values)))


def test_the_check_says_what_is_wrong(bucket: str, seaweed: Seaweed, tmp_path: Path) -> None:
    def found(**values: object) -> tuple[str, str]:
        (answer,) = check_objects(Settings(**({"object_store_key_file": seaweed.key_file(tmp_path)} | values)))
        return answer.level.value, answer.sentence

    place = f"127.0.0.1:{seaweed.port}"
    assert list(check_objects(Settings())) == []
    assert found(object_store=bucket) == (
        "ok",
        f"{place} answers to our keys; whether they may write shows with the first instance.",
    )
    (tmp_path / "wrong").write_text(f"{ACCESS_KEY}\nwrong\n")
    level, sentence = found(object_store=bucket, object_store_key_file=tmp_path / "wrong")
    assert (level, sentence) == ("fail", f"{place}: The object store refuses (AccessDenied).")
    level, sentence = found(object_store=bucket, object_store_key_file=tmp_path / "nowhere")
    assert (level, "cannot be read" in sentence) == ("fail", True)
