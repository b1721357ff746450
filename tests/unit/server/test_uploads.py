"""Two hosts with a folder each and one bucket of a real server: what one received or made, the other reads."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text, update

from builders.dicom import SeriesPlan, small_voxels, write_series
from builders.dicomweb import take_in
from builders.findings import reference, spine_findings
from builders.peers import wait_until
from builders.read_study import headers_of, keep_read_study
from builders.received_reports import oru
from builders.seaweed import Seaweed
from dicom_node.assembly import Assembler, AssemblyRules
from dicom_node.dicomweb.held import Holdings
from dicom_node.dicomweb.index import SearchIndex
from dicom_node.expiry import Cause, expire, remove_files
from dicom_node.object_store import IN_USE_S, KEPT_S, ObjectStoreFailure
from dicom_node.receive_log import LogRules
from dicom_node.recovery import Recovered, recover
from dicom_node.spool import Spool
from dicom_node.store import StudyState
from dicom_node.tables import instances, studies, web_headers, web_instances, web_studies
from dicom_node.uploads import Uploader, waiting_uploads
from inference.errors import Failure
from server.backup.restore import restore_backup
from server.backup.take import take_backup
from server.compose import Node, open_spool, uploader
from server.database import reading
from server.hl7.intake import take
from server.retention import needs_of
from server.tables import worklist_entries
from server.worklist_index import WorklistIndex

pytestmark = pytest.mark.peer("seaweedfs")
PLAN = SeriesPlan(voxels=small_voxels(3))
STUDY = PLAN.study_instance_uid
NOWHERE = "http://127.0.0.1:9/spine"
"""Nothing listens there (the port of the discard service)."""


@pytest.fixture
def host(
    engine: Engine, settings: Callable[..., Any], bucket: str, seaweed: Seaweed, tmp_path: Path
) -> Iterator[Callable[[str], Node]]:
    """A host by its name, with a folder of its own."""
    made = []

    def make(name: str, store: str = bucket) -> Node:
        keys = seaweed.key_file(tmp_path)
        chosen = settings(data_dir=tmp_path / name, object_store=store, object_store_key_file=keys)
        made.append(Node(settings=chosen, engine=engine, spool=open_spool(chosen)))
        return made[-1]

    yield make
    for node in made:
        node.spool.close()


def uploading(node: Node) -> Uploader:
    made = uploader(node)
    assert made is not None
    return made


def paths_of(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(select(instances.c.path).order_by(instances.c.received_at)).scalars())


def waiting(engine: Engine) -> int:
    with engine.connect() as connection:
        return waiting_uploads(connection).instances


def hand_over(node: Node) -> int:
    rules = AssemblyRules(quiet_period_s=1.0, ask_after_s=1.0)
    assembler = Assembler(node.engine, node.spool, rules, lambda *_: None)
    return assembler.tick(time.time() + 10)


def expired(node: Node, folder: Path) -> list[Path]:
    """A study that was received, put and has expired, its objects still to be removed; the files that were sent."""
    sent = write_series(folder / "study", PLAN)
    take_in(node, sent)
    uploading(node).upload_all()
    with node.engine.begin() as connection:
        connection.execute(update(studies).values(state=StudyState.DONE))
        assert expire(connection, node.spool, STUDY, Cause.AGE, time.time()) is not None
    return sent


def test_a_study_is_handed_over_when_another_host_can_read_it(
    host: Callable[[str], Node], engine: Engine, seaweed: Seaweed, bucket: str, tmp_path: Path
) -> None:
    here, there = host("receiver"), host("worker")
    sent = write_series(tmp_path / "study", PLAN)
    take_in(here, sent)
    assert waiting(engine) == len(sent)
    assert hand_over(here) == 0
    with pytest.raises(Failure, match="on its way to the object store"):
        Assembler(engine, here.spool, AssemblyRules(), lambda *_: None).complete_now(STUDY)
    with engine.connect() as connection:
        assert needs_of(connection, [STUDY])[STUDY] == "An instance is on its way to the object store."
    assert not there.spool.path(paths_of(engine)[0]).exists()
    assert uploading(there).upload_all() == 0  # it has none of them

    assert uploading(here).upload_all() == len(sent)
    assert seaweed.names(bucket) == set(paths_of(engine))
    assert waiting(engine) == 0
    assert hand_over(here) == 1
    for relative in paths_of(engine):
        read = there.spool.path(relative)
        assert read.is_relative_to(there.spool.root / "cache")
        assert read.read_bytes() == here.spool.path(relative).read_bytes()
    assert list(here.spool.files("received")) == []
    assert recover(engine, here.spool, clock=time.time) == Recovered()


def test_what_waits_has_an_index_of_its_own(engine: Engine) -> None:
    with engine.begin() as connection:
        query = select(instances.c.path).where(instances.c.waits_for_upload).order_by(instances.c.received_at)
        words = str(query.compile(engine, compile_kwargs={"literal_binds": True}))
        is_sqlite = engine.dialect.name == "sqlite"
        if not is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"EXPLAIN {'QUERY PLAN' if is_sqlite else ''} {words}"))
        assert "ix_instances_upload" in str(plan.all())


def test_results_are_read_elsewhere_and_removed_with_their_folder(host: Callable[[str], Node]) -> None:
    here, there = host("one"), host("two")
    here.spool.write_result("claims/7/packet-1/manifest.json", b"{}")
    here.spool.write_result("claims/70/report.txt", b"other")
    assert there.spool.path("claims/7/packet-1/manifest.json").read_bytes() == b"{}"
    assert there.spool.holds("claims/70/report.txt")
    there.spool.remove_folder("claims/7")
    third = host("three")
    assert not third.spool.path("claims/7/packet-1/manifest.json").exists()
    assert third.spool.path("claims/70/report.txt").read_bytes() == b"other"
    third.spool.remove("claims/70/report.txt")
    assert not host("four").spool.holds("claims/70/report.txt")


def test_sent_again_after_it_was_put_it_becomes_a_copy_and_does_not_come_back_when_it_has_expired(
    host: Callable[[str], Node], engine: Engine, seaweed: Seaweed, bucket: str, tmp_path: Path
) -> None:
    here = host("receiver")
    sent = write_series(tmp_path / "study", PLAN)
    for _ in range(2):
        take_in(here, sent)
        uploading(here).upload_all()
    assert len(list(here.spool.files("received"))) == len(sent)
    uploading(here).tidy(time.time())
    assert list(here.spool.files("received")) == []

    take_in(here, sent[:1])  # once more, and then it expires by another host
    there = host("worker")
    with engine.begin() as connection:
        connection.execute(update(studies).values(state=StudyState.DONE))
        assert expire(connection, there.spool, STUDY, Cause.AGE, time.time() + 1) is not None
    assert remove_files(engine, there.spool) == len(sent)
    assert seaweed.names(bucket) == set()
    assert len(list(here.spool.files("received"))) == 1
    assert recover(engine, here.spool, clock=time.time) == Recovered()
    assert list(here.spool.files("received")) == []
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(instances)).scalar_one() == 0


def test_what_came_again_waits_until_what_expired_is_removed(
    host: Callable[[str], Node], engine: Engine, tmp_path: Path
) -> None:
    here = host("receiver")
    sent = expired(here, tmp_path)
    take_in(here, sent)
    assert uploading(here).upload_all() == 0
    remove_files(engine, here.spool)
    assert waiting(engine) == len(sent)
    assert uploading(here).upload_all() == len(sent)
    assert all(host("worker").spool.path(relative).is_file() for relative in paths_of(engine))


def test_a_store_that_is_away_loses_nothing(host: Callable[..., Node], engine: Engine, tmp_path: Path) -> None:
    here = host("receiver", NOWHERE)
    here.spool.open_log(LogRules(), has_room=lambda _: True, on_damage=lambda *_: None)
    sent = write_series(tmp_path / "study", PLAN)
    take_in(here, sent)
    with pytest.raises(ObjectStoreFailure, match="does not answer"):
        here.spool.write_result("results/a", b"1")
    with pytest.raises(ObjectStoreFailure, match="does not answer"):
        host("worker", NOWHERE).spool.path(paths_of(engine)[0])
    wait_until(lambda: len(list(here.spool.files("received"))) == len(sent), timeout_s=20, what="files of the log")
    with pytest.raises(ObjectStoreFailure, match="does not answer"):
        uploading(here).upload_all()
    assert waiting(engine) == len(sent)
    assert all(here.spool.path(relative).is_file() for relative in paths_of(engine))

    thread = uploading(host("receiver"))
    thread.start()
    wait_until(lambda: waiting(engine) == 0, timeout_s=20, what="the uploads")
    thread.stop()


def test_one_that_cannot_be_put_holds_up_no_other(host: Callable[[str], Node], engine: Engine, tmp_path: Path) -> None:
    here = host("receiver")
    take_in(here, write_series(tmp_path / "study", PLAN))
    broken = here.spool.path(paths_of(engine)[0])
    broken.rename(tmp_path / "instance")
    broken.mkdir()  # a file that the disk does not give, to whoever asks
    with pytest.raises(IsADirectoryError):
        uploading(here).upload_all()
    assert waiting(engine) == 1
    broken.rmdir()
    (tmp_path / "instance").rename(broken)
    assert uploading(here).upload_all() == 1


def test_copies_go_before_the_disk_has_no_room_for_instances(host: Callable[[str], Node], engine: Engine) -> None:
    here = host("one")
    here.spool.write_result("results/a/a", b"1")
    here.spool.write_result("results/b/b", b"1")
    here.spool.path("results/a/a")
    old = time.time() - IN_USE_S - 1
    os.utime(here.spool.path("results/a/a"), (old, old))
    Uploader(engine, here.spool, cache_bytes=10**6, reserve_bytes=lambda space: space.free_bytes).tidy(time.time())
    assert not (here.spool.root / "cache/results/a").exists()
    assert (here.spool.root / "cache/results/b/b").exists()


def test_no_folder_of_a_study_is_left_of_what_was_put(
    host: Callable[[str], Node], engine: Engine, tmp_path: Path
) -> None:
    here = host("receiver")
    take_in(here, write_series(tmp_path / "study", PLAN))
    uploading(here).upload_all()
    received = here.spool.root / "received"
    uploading(here).tidy(time.time())
    assert received.exists()  # an instance may be arriving
    for _ in range(3):
        for folder, _, _ in os.walk(received):
            os.utime(folder, (1, 1))
        uploading(here).tidy(time.time())
    assert not received.exists()
    for relative in paths_of(engine):
        here.spool.remove(relative)
    assert list((here.spool.root / "cache").iterdir()) == []
    take_in(here, write_series(tmp_path / "again", SeriesPlan(voxels=small_voxels(3), study="again")))


def test_a_damaged_object_holds_up_no_other(
    host: Callable[[str], Node], engine: Engine, seaweed: Seaweed, bucket: str, tmp_path: Path
) -> None:
    here = host("receiver")
    sent = write_series(tmp_path / "study", PLAN)
    take_in(here, sent)
    uploading(here).upload_all()
    damaged = paths_of(engine)[0]
    seaweed.client.put_object(bucket.rpartition("/")[2], damaged, io.BytesIO(b"abc"), 3)
    index = SearchIndex(engine, Holdings(reading=partial(reading, engine), spool=host("web").spool))
    assert index.refresh()
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(web_headers)).scalar_one() == len(sent) - 1


def test_what_came_again_while_two_remove_what_expired_is_put_again(
    host: Callable[[str], Node], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = host("receiver"), host("worker")
    sent = expired(here, tmp_path)
    remove_file = Spool.remove_file

    def overtaken(spool: Spool, relative: str, inode: int) -> bool:
        """The other removes it, it comes again and is put, and only then do we remove it; no transaction is open."""
        monkeypatch.undo()
        remove_files(engine, here.spool)
        take_in(here, sent)
        assert uploading(here).upload_all() == len(sent)
        return remove_file(spool, relative, inode)

    monkeypatch.setattr(Spool, "remove_file", overtaken)
    remove_files(engine, there.spool)
    assert waiting(engine) == len(sent)
    assert uploading(here).upload_all() == len(sent)
    assert all(host("third").spool.path(relative).is_file() for relative in paths_of(engine))


def test_an_object_that_cannot_be_removed_keeps_no_other(
    host: Callable[..., Node], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = host("receiver")
    take_in(here, write_series(tmp_path / "study", PLAN))
    uploading(here).upload_all()
    first = min(paths_of(engine))
    with engine.begin() as connection:
        connection.execute(update(studies).values(state=StudyState.DONE))
        assert expire(connection, here.spool, STUDY, Cause.AGE, time.time()) is not None
    remove_file = Spool.remove_file

    def locked(spool: Spool, relative: str, inode: int) -> bool:
        if relative == first:
            raise ObjectStoreFailure("The object store refuses (AccessDenied).")
        return remove_file(spool, relative, inode)

    monkeypatch.setattr(Spool, "remove_file", locked)
    assert remove_files(engine, here.spool) == 2
    monkeypatch.undo()
    assert remove_files(engine, host("cut off", NOWHERE).spool) == 0
    assert remove_files(engine, here.spool) == 1


def test_what_cannot_be_fetched_now_is_missing_and_not_written_off(
    host: Callable[..., Node], engine: Engine, tmp_path: Path
) -> None:
    here = host("receiver")
    headers = headers_of([PLAN])
    source = reference(headers[PLAN.series_instance_uid][1])
    keep_read_study(here, headers, spine_findings(STUDY, source, (1.0, 1.0)))
    cut_off = host("web", NOWHERE)
    cut_off_index, whole_index = (
        SearchIndex(engine, Holdings(reading=partial(reading, engine), spool=one.spool)) for one in (cut_off, here)
    )
    assert not cut_off_index.refresh()
    assert not WorklistIndex(engine, cut_off.spool, version="1").refresh(budget_s=10.0)
    with engine.connect() as connection:
        for table in (web_instances, worklist_entries):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0
    assert b"MSA|AE|MSG-1" in take(cut_off, oru("MSG-1"))
    assert b"MSA|AA|MSG-1" in take(here, oru("MSG-1"))

    assert whole_index.refresh()
    assert WorklistIndex(engine, here.spool, version="1").refresh(budget_s=10.0)
    with engine.connect() as connection:
        assert connection.execute(select(worklist_entries.c.called)).scalar_one() != ""
        assert "" not in set(connection.execute(select(web_studies.c.patient_id)).scalars())


def test_copies_go_when_nobody_read_them_for_a_day_or_for_room(host: Callable[[str], Node]) -> None:
    here = host("one")
    for name in "abcd":
        here.spool.write_result(f"results/{name}/{name}", name.encode() * 1000)
    now = time.time()
    copies = {name: here.spool.path(f"results/{name}/{name}") for name in "abcd"}
    ages = {"a": KEPT_S + 10, "b": IN_USE_S + 30, "c": IN_USE_S + 20, "d": 0}
    for name, age in ages.items():
        os.utime(copies[name], (now - age, now - age))
    assert here.spool.objects is not None
    assert here.spool.objects.trim(10**6, now) == 1
    assert here.spool.objects.trim(2500, now) == 1
    assert {name for name, path in copies.items() if path.exists()} == {"c", "d"}
    assert not copies["a"].parent.exists()
    assert here.spool.objects.trim(0, now) == 1  # what is in use stays
    assert here.spool.path("results/a/a").read_bytes() == b"a" * 1000


def test_a_backup_holds_the_objects_and_a_restore_puts_them_into_an_empty_bucket(
    node: Node, settings: Callable[..., Any], seaweed: Seaweed, tmp_path: Path
) -> None:
    keys = seaweed.key_file(tmp_path)
    chosen = node.settings.model_copy(update={"object_store": seaweed.new_bucket(), "object_store_key_file": keys})
    here = Node(settings=chosen, engine=node.engine, spool=open_spool(chosen))
    sent = write_series(tmp_path / "study", PLAN)
    take_in(here, sent)
    uploading(here).upload_all()
    packet = "claims/7/packet-1/manifest.json"  # no row names it
    here.spool.write_result(packet, b"{}")
    copies = here.spool.root / "cache"
    copies.rename(tmp_path / "gone")
    take_backup(here, tmp_path / "backup")
    assert list(copies.rglob("*.dcm")) == []  # it would fill the disk

    empty = seaweed.new_bucket()
    elsewhere = settings(data_dir=tmp_path / "restored", object_store=empty, object_store_key_file=keys)
    restored = restore_backup(tmp_path / "backup", elsewhere)
    assert restored.files == len(sent) + 1
    assert seaweed.names(empty) == {packet, *paths_of(node.engine)}
    here.spool.close()
