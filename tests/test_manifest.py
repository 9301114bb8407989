"""The record of a batch: nothing that was recorded is lost, whenever the end comes."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glnet_geo import journal as journal_module
from glnet_geo import manifest as manifest_module
from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.errors import BatchError, OutputError
from glnet_geo.grid import Grid
from glnet_geo.manifest import Manifest

UTM = 'PROJCRS["UTM 40N",ID["EPSG",32640]]'
WGS84 = 'GEOGCRS["WGS 84",ID["EPSG",4326]]'
TRANSFORM = Affine(0.5, 0.1, 300000.25, 0.1, -0.5, 1e7 / 3)


def full_record(name: str = "north/a", **changes: object) -> SceneRecord:
    """A record in which every field differs from its default."""
    record = SceneRecord(
        name,
        "tiles/north/a.tif",
        "1024 1700000000",
        State.DONE,
        "abc",
        SceneFacts(Grid(5, 7, TRANSFORM, UTM, 0.26), 4, "uint16"),
        (f"{name}.tif", f"{name}.gpkg"),
        2,
        1.5,
        "no \u201cdata\u201d\nthere",
        {1: 30, 255: 5},
        {1: 7.8, 255: 1.3},
        12,
        "2020-05-01T10:00:00Z",
    )
    return replace(record, **changes)


def document(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text("utf-8"))


def read(folder: Path) -> dict[str, SceneRecord]:
    return dict(Manifest(folder, "test").records)


def journal(folder: Path) -> Path:
    return folder / ".manifest.journal"


def leave(folder: Path, *records: SceneRecord) -> None:
    """Records in the way of a run that was killed: what follows the first is in the journal."""
    manifest = Manifest(folder, "test")
    for record in records:
        manifest.record(record, durable=False)


@contextmanager
def full_disk(size: int):
    """No file can grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(autouse=True)
def _journals(monkeypatch):
    """Closes what runs that end like a killed one leave open."""
    opened = []

    def open_journal(*arguments):
        opened.append(journal_module.Journal(*arguments))
        return opened[-1]

    monkeypatch.setattr(manifest_module, "Journal", open_journal)
    yield
    for left in opened:
        left.close()


class TestRoundTrip:
    RECORDS = (
        full_record(),
        full_record("b", facts=SceneFacts(Grid(1, 1, TRANSFORM, WGS84, 0.2), 1, "uint8")),
        full_record("c", facts=SceneFacts(Grid(1, 1), 1, "uint8"), areas_m2=None),
        full_record("d"),
        SceneRecord("e", "https://example.com/e.tif", "https://example.com/e.tif"),
        full_record("f", state=State.FAILED, pixels={}, areas_m2={}),
    )

    def test_every_field_through_the_document(self, tmp_path: Path) -> None:
        with Manifest(tmp_path, "test") as manifest:
            for record in self.RECORDS:
                manifest.record(record)
            assert list(manifest.records.values()) == list(self.RECORDS)
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
        assert list(read(tmp_path).values()) == list(self.RECORDS)

    def test_every_field_through_the_journal(self, tmp_path: Path) -> None:
        leave(tmp_path, *self.RECORDS)
        assert list(document(tmp_path)["scenes"]) == [self.RECORDS[0].name]
        assert list(read(tmp_path).values()) == list(self.RECORDS)

    def test_the_last_record_of_a_scene_counts(self, tmp_path: Path) -> None:
        leave(tmp_path, full_record(attempts=1), full_record(attempts=2), full_record(attempts=3))
        assert read(tmp_path)["north/a"].attempts == 3

    def test_the_document(self, tmp_path: Path) -> None:
        with Manifest(tmp_path, "glnet-geo 1.0") as manifest:
            digest = manifest.setting({"model": "dubai", "overlap": 2})
            for record in self.RECORDS:
                manifest.record(replace(record, settings=digest))
        table = document(tmp_path)
        assert table["format"] == 1
        assert table["software"] == "glnet-geo 1.0"
        assert table["settings"] == {digest: {"model": "dubai", "overlap": 2}}
        assert table["crs"] == [UTM, WGS84]
        places = [scene["facts"] for scene in table["scenes"].values()]
        assert [facts and facts["grid"]["crs"] for facts in places] == [0, 1, None, 0, None, 0]

    def test_a_scene_is_a_line(self, tmp_path: Path) -> None:
        with Manifest(tmp_path, "test") as manifest:
            manifest.record(full_record("Köln"))
            manifest.record(full_record("b"))
        lines = (tmp_path / "manifest.json").read_text("utf-8").splitlines()
        assert [line[:7] for line in lines[2:4]] == ['"Köln":', '"b":{"s']

    @given(st.dictionaries(st.text(), st.text(st.characters()), max_size=5))
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_any_name_and_path(self, tmp_path_factory, names) -> None:
        folder = tmp_path_factory.mktemp("any")
        records = [SceneRecord(name, path, "") for name, path in names.items()]
        leave(folder, *records)
        assert list(read(folder).values()) == records
        with Manifest(folder, "test") as manifest:
            manifest.keep_only(names)
            manifest.save()
        assert list(read(folder).values()) == records

    def test_a_name_that_is_not_utf_8(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"k\xf6ln\\u")
        leave(tmp_path, full_record("a"), SceneRecord(name, name, ""))
        assert read(tmp_path)[name].scene == name


class TestSettings:
    def test_equal_tables_have_equal_digests(self, tmp_path: Path) -> None:
        manifest = Manifest(tmp_path, "test")
        digest = manifest.setting({"a": 1, "b": [1, 2]})
        assert digest == manifest.setting({"b": [1, 2], "a": 1})
        assert digest != manifest.setting({"b": [2, 1], "a": 1})
        assert list(tmp_path.iterdir()) == []

    def test_only_those_in_use_are_written(self, tmp_path: Path) -> None:
        with Manifest(tmp_path, "test") as manifest:
            unused = manifest.setting({"a": 1})
            used = manifest.setting({"a": 2})
            manifest.record(full_record(settings=used))
        assert list(document(tmp_path)["settings"]) == [used] != [unused]

    def test_they_survive_a_kill(self, tmp_path: Path) -> None:
        manifest = Manifest(tmp_path, "test")
        manifest.record(full_record())
        digest = manifest.setting({"a": 1})
        manifest.record(full_record("b", settings=digest))
        manifest.record(full_record("c", settings=digest))
        assert journal(tmp_path).read_text().count('"table"') == 1
        with Manifest(tmp_path, "test") as later:
            later.save()
        assert document(tmp_path)["settings"] == {digest: {"a": 1}}


class TestRuns:
    def test_reading_writes_nothing(self, tmp_path: Path) -> None:
        with Manifest(tmp_path / "out", "test") as manifest:
            assert manifest.records == {}
        assert list(tmp_path.iterdir()) == []
        leave(tmp_path, full_record("a"), full_record("b"))
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with Manifest(tmp_path, "test") as manifest:
            assert list(manifest.records) == ["a", "b"]
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        leave(tmp_path / "deep" / "out", full_record())
        assert read(tmp_path / "deep" / "out")

    def test_what_ran_is_pending(self, tmp_path: Path) -> None:
        running = full_record(state=State.RUNNING)
        leave(tmp_path, replace(running, name="a"), replace(running, name="b"))
        assert {record.state for record in read(tmp_path).values()} == {State.PENDING}

    def test_the_next_run_keeps_what_stood_in_the_journal(self, tmp_path: Path) -> None:
        leave(tmp_path, full_record("a"), full_record("b"))
        leave(tmp_path, full_record("c"), full_record("d"))
        leave(tmp_path, full_record("e"))
        assert list(read(tmp_path)) == ["a", "b", "c", "d", "e"]

    def test_saving_folds_what_a_kill_left(self, tmp_path: Path) -> None:
        leave(tmp_path, full_record("a"), full_record("b"))
        (tmp_path / ".manifest.json.part").touch()
        with Manifest(tmp_path, "test") as manifest:
            manifest.save()
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
        assert list(document(tmp_path)["scenes"]) == ["a", "b"]

    def test_keep_only(self, tmp_path: Path) -> None:
        with Manifest(tmp_path, "test") as manifest:
            for name in "abc":
                manifest.record(full_record(name))
        with Manifest(tmp_path, "test") as manifest:
            manifest.keep_only(["c", "a", "z"])
            assert list(manifest.records) == ["a", "c"]
        assert list(read(tmp_path)) == ["a", "c"]

    def test_records_are_for_reading(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError):
            Manifest(tmp_path, "test").records["a"] = full_record()  # type: ignore[index]

    def test_durable_records_are_flushed_to_the_disk(self, tmp_path: Path, monkeypatch) -> None:
        calls = []
        manifest = Manifest(tmp_path, "test")
        manifest.record(full_record())
        monkeypatch.setattr(journal_module.os, "fsync", calls.append)
        manifest.record(full_record(), durable=False)
        assert len(calls) == 0
        manifest.record(full_record())
        assert len(calls) == 1


class TestDamage:
    @pytest.mark.parametrize("cut", [1, 2, 50, 300])
    def test_a_torn_line_is_ignored(self, tmp_path: Path, cut: int) -> None:
        leave(tmp_path, *map(full_record, "abc"))
        path = journal(tmp_path)
        path.write_bytes(path.read_bytes()[:-cut])
        assert list(read(tmp_path)) == ["a", "b"]
        leave(tmp_path, full_record("d"), full_record("e"))
        assert list(read(tmp_path)) == ["a", "b", "d", "e"]

    @pytest.mark.parametrize("content", [b"", b'{"edit', b"\0" * 200, b"\n\n", b"\xff\n{}\n"])
    def test_a_journal_without_a_beginning(self, tmp_path: Path, content: bytes) -> None:
        leave(tmp_path, full_record("a"), full_record("b"))
        journal(tmp_path).write_bytes(content)
        assert list(read(tmp_path)) == ["a"]

    def test_a_journal_that_was_written_out_already(self, tmp_path: Path) -> None:
        """As after a kill between the new document and the empty journal."""
        leave(tmp_path, full_record("a"), full_record("b"))
        stale = journal(tmp_path).read_bytes()
        with Manifest(tmp_path, "test") as manifest:
            manifest.record(full_record("b", attempts=9))
            manifest.keep_only(["b"])
        journal(tmp_path).write_bytes(stale)
        assert read(tmp_path) == {"b": full_record("b", attempts=9)}

    def test_removing_the_manifest_starts_over(self, tmp_path: Path) -> None:
        leave(tmp_path, full_record("a"), full_record("b"))
        (tmp_path / "manifest.json").unlink()
        assert read(tmp_path) == {}

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "null",
            "{}",
            '{"format": "1"}',
            '{"format": 1, "scenes": {}, "settings": {}}',
            '{"format": 1, "edition": "", "crs": [], "scenes": {"a": {}}, "settings": {}}',
            '{"format": 1, "edition": "", "crs": [], "scenes": [], "settings": {}}',
            "[" * 100000,
        ],
    )
    def test_a_document_that_somebody_changed(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(BatchError, match=r"manifest\.json is damaged.*remove it") as caught:
            Manifest(tmp_path, "test")
        assert "\n" not in str(caught.value)

    def test_a_newer_format(self, tmp_path: Path) -> None:
        text = '{"format": 2, "software": "glnet-geo 9"}'
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(BatchError, match=r"newer version \(glnet-geo 9\)\. Update"):
            Manifest(tmp_path, "test")

    def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "manifest.json").mkdir()
        with pytest.raises(BatchError, match="cannot be read: Is a directory"):
            Manifest(tmp_path, "test")


class TestFullDisk:
    def test_before_the_first_record(self, tmp_path: Path) -> None:
        with full_disk(100), pytest.raises(OutputError) as caught:
            leave(tmp_path, full_record())
        assert (
            str(caught.value) == f"{tmp_path / 'manifest.json'} cannot be written: File too large."
        )
        assert list(tmp_path.iterdir()) == []

    def test_while_recording(self, tmp_path: Path) -> None:
        manifest = Manifest(tmp_path, "test")
        with full_disk(4000), pytest.raises(OutputError, match="File too large"):
            for k in range(100):
                manifest.record(full_record(str(k)))
        assert list(read(tmp_path)) == [str(n) for n in range(k)]
        assert k > 3
        # Once there is room again nothing is missing.
        manifest.record(full_record("later"))
        manifest.record(full_record("last"))
        assert list(read(tmp_path)) == [*(str(n) for n in range(k + 1)), "later", "last"]

    def test_while_writing_the_document(self, tmp_path: Path) -> None:
        with Manifest(tmp_path, "test") as manifest:
            manifest.record(full_record("a"))
        before = (tmp_path / "manifest.json").read_bytes()
        manifest = Manifest(tmp_path, "test")
        with full_disk(900), pytest.raises(OutputError, match="File too large"):
            manifest.record(full_record("b"))
        assert (tmp_path / "manifest.json").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]

    def test_at_the_end_the_journal_stays(self, tmp_path: Path) -> None:
        manifest = Manifest(tmp_path, "test")
        for name in "abc":
            manifest.record(full_record(name))
        with full_disk(1000), pytest.raises(OutputError, match="File too large"):
            manifest.close()
        assert list(read(tmp_path)) == ["a", "b", "c"]

    def test_the_error_that_ended_the_batch_is_told(self, tmp_path: Path) -> None:
        with full_disk(1000), pytest.raises(KeyboardInterrupt), Manifest(tmp_path, "test") as m:
            for name in "ab":
                m.record(full_record(name))
            raise KeyboardInterrupt
        assert list(read(tmp_path)) == ["a", "b"]


class TestRewriting:
    @pytest.fixture
    def clock(self, monkeypatch):
        """A clock that stands still until a test moves it."""
        now = [1000.0]
        monkeypatch.setattr(manifest_module.time, "monotonic", lambda: now[0])
        return now

    def written(self, folder: Path) -> list[str]:
        return list(document(folder)["scenes"])

    def test_every_two_seconds(self, tmp_path: Path, clock) -> None:
        manifest = Manifest(tmp_path, "test")
        for name, wait, expected in (("a", 0, "a"), ("b", 1.9, "a"), ("c", 0.2, "abc")):
            clock[0] += wait
            manifest.record(full_record(name))
            assert self.written(tmp_path) == list(expected)

    def test_less_often_where_it_takes_long(self, tmp_path: Path, clock, monkeypatch) -> None:
        publish = manifest_module.publish

        def publish_slowly(*paths: Path) -> None:
            clock[0] += 1.0
            publish(*paths)

        monkeypatch.setattr(manifest_module, "publish", publish_slowly)
        manifest = Manifest(tmp_path, "test")
        for name, wait, expected in (("a", 0, "a"), ("b", 19, "a"), ("c", 2, "abc")):
            clock[0] += wait
            manifest.record(full_record(name))
            assert self.written(tmp_path) == list(expected)

    def test_it_waits_while_a_viewer_holds_the_document(
        self, tmp_path: Path, clock, monkeypatch
    ) -> None:
        manifest = Manifest(tmp_path, "test")
        manifest.record(full_record("a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(PermissionError(13)))
            for name in "bc":
                clock[0] += 3
                manifest.record(full_record(name))
        assert self.written(tmp_path) == ["a"]
        assert list(read(tmp_path)) == ["a", "b", "c"]
        clock[0] += 3
        manifest.record(full_record("d"))
        assert self.written(tmp_path) == ["a", "b", "c", "d"]

    def test_20000_records(self, tmp_path: Path) -> None:
        started = time.perf_counter()
        with Manifest(tmp_path, "test") as manifest:
            for k in range(20_000):
                manifest.record(full_record(f"tile{k}"), durable=False)
        assert len(read(tmp_path)) == 20_000
        assert time.perf_counter() - started < 20


class Killed(BaseException):
    """The end of a process at a moment that a test chooses."""


@pytest.mark.parametrize("is_after", [False, True])
def test_killed_at_every_step(tmp_path: Path, monkeypatch, is_after: bool) -> None:
    """At every call that changes what is on the disk, before and after it."""
    steps = [
        (os, "replace"),
        (os, "fsync"),
        (journal_module.Journal, "append"),
        (journal_module.Journal, "restart"),
        (journal_module.Journal, "remove"),
    ]
    n_steps = 0
    for moment in range(100):
        folder, left, reported = tmp_path / str(moment), moment, []

        def counted(step, *arguments, **options):
            nonlocal left
            left -= 1
            is_end = left == -1
            if is_end and not is_after:
                raise Killed
            step(*arguments, **options)
            if is_end:
                raise Killed

        try:
            with monkeypatch.context() as patch:
                for owner, name in steps:
                    patch.setattr(owner, name, count(owner, name, counted))
                manifest = Manifest(folder, "test")
                for name in "abcde":
                    manifest.record(full_record(name))
                    reported.append(name)
                    if name == "c":
                        manifest.save()
                manifest.close()
        except Killed:
            n_steps += 1
            assert list(read(folder)) in (reported, list("abcde"[: len(reported) + 1]))
    assert 20 < n_steps < 100


def count(owner, name: str, counted):
    """A step that is counted, callable as the step was."""
    step = getattr(owner, name)
    return lambda *arguments, **options: counted(step, *arguments, **options)


def test_who_reads_the_document_reads_one_edition(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path, "test")
    manifest.record(full_record("a"))
    with (tmp_path / "manifest.json").open("rb", buffering=0) as file:
        half = file.read(100)
        manifest.record(full_record("b"))
        manifest.save()
        assert list(json.loads(half + file.read())["scenes"]) == ["a"]


CHILD = """
import sys
from pathlib import Path
from glnet_geo import manifest
from glnet_geo.manifest import Manifest
from tests.test_manifest import full_record
# The document is written all the time, so that the kill often meets that.
manifest._PAUSE_S, manifest._SHARE = 0.002, 1.0
with Manifest(Path(sys.argv[1]), "test") as kept:
    start = len(kept.records)
    for k in range(start, start + 1_000_000):
        kept.record(full_record(str(k), settings=kept.setting({"k": k // 10})))
        print(k, flush=True)
"""


def kill_after(folder: Path, seconds: float) -> int:
    """Kills a batch some time after its first record.

    Returns:
        The last record that it had reported.
    """
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", CHILD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=root) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(seconds)
        child.kill()
        reported = (first + child.stdout.read()).split(b"\n")
    return int(reported[-2])


def check_kills(folder: Path, moments: int) -> None:
    chance = random.Random(moments)
    for _ in range(moments):
        last = kill_after(folder, chance.uniform(0, 0.3))
        assert document(folder)["format"] == 1
        records = read(folder)
        assert len(records) - 1 in (last, last + 1)
        for k, record in enumerate(records.values()):
            digest = Manifest(folder, "test").setting({"k": k // 10}) if k == last else None
            assert record == full_record(str(k), settings=digest or record.settings)


def test_killed_at_any_moment(tmp_path: Path) -> None:
    check_kills(tmp_path, 5)


@pytest.mark.slow
def test_killed_at_many_moments(tmp_path: Path) -> None:
    check_kills(tmp_path, 25)
