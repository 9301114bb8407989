"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glnet_geo.errors import OutputError
from glnet_geo.outputs import check_output, publish, work_folder, working_folder

OLD, NEW = b"the old map", b"the new map"


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    path = tmp_path / "map.tif"
    path.write_bytes(OLD)
    return path


def refusal(path: Path, overwrite: bool = False, sources: tuple[Path, ...] = ()) -> str:
    with pytest.raises(OutputError) as caught:
        check_output(path, overwrite, sources)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def run(path: Path, error: BaseException | None = None) -> None:
    """Makes an output, or fails after half of it."""
    with working_folder(path) as folder:
        finished = folder / "finished"
        finished.write_bytes(NEW)
        if error is not None:
            raise error
        publish(finished, path)


class TestCheckOutput:
    def test_a_new_file_in_a_folder_is_fine(self, tmp_path: Path) -> None:
        check_output(tmp_path / "new.tif", overwrite=False, sources=(tmp_path / "gone.tif",))

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "nowhere"
        assert f"{folder} does not exist" in refusal(folder / "map.tif", overwrite=True)

    def test_a_file_for_a_folder(self, existing: Path) -> None:
        assert "does not exist" in refusal(existing / "map.tif")

    def test_a_folder_for_a_file(self, tmp_path: Path) -> None:
        assert "is a folder" in refusal(tmp_path, overwrite=True)

    def test_a_device_stays_one(self) -> None:
        assert "is a device" in refusal(Path(os.devnull), overwrite=True)

    def test_an_existing_output_needs_overwrite(self, existing: Path) -> None:
        message = refusal(existing)
        assert str(existing) in message
        assert "--overwrite" in message
        check_output(existing, overwrite=True)

    def test_the_input_is_never_the_output(self, existing: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.tif"
        other.write_bytes(OLD)
        link = tmp_path / "link.tif"
        link.symlink_to(existing)
        for output in (existing, link, tmp_path / "." / "map.tif"):
            assert "the input itself" in refusal(output, True, (other, existing))
        check_output(other, True, (existing,))

    def test_a_folder_that_is_not_writable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Root may write everywhere, so the answer is made up.
        monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        assert f"{tmp_path} is not writable" in refusal(tmp_path / "map.tif")

    def test_nothing_is_written(self, tmp_path: Path) -> None:
        check_output(tmp_path / "new.tif", overwrite=True)
        assert list(tmp_path.iterdir()) == []


class TestWorkingFolder:
    def test_work_happens_beside_the_output_out_of_sight(self, tmp_path: Path) -> None:
        with working_folder(tmp_path / "map.tif") as folder:
            assert folder == work_folder(tmp_path / "map.tif")
            assert folder.parent == tmp_path
            assert folder.name.startswith(".")
            assert list(folder.iterdir()) == []

    def test_a_finished_run_leaves_the_output_alone(self, existing: Path) -> None:
        run(existing)
        assert existing.read_bytes() == NEW
        assert list(existing.parent.iterdir()) == [existing]

    @pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), SystemExit(3)])
    def test_a_failed_run_leaves_everything_as_it_was(
        self, existing: Path, error: BaseException
    ) -> None:
        with pytest.raises(type(error)) as caught:
            run(existing, error)
        assert caught.value is error
        assert existing.read_bytes() == OLD
        assert list(existing.parent.iterdir()) == [existing]

    def test_a_failed_first_run_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "map.tif", KeyboardInterrupt())
        assert list(tmp_path.iterdir()) == []

    def test_a_full_disk_is_told_in_one_line(self, existing: Path) -> None:
        with pytest.raises(OutputError) as caught:
            run(existing, OSError(28, "No space left on device"))
        assert str(caught.value) == f"{existing} cannot be written: No space left on device."
        assert existing.read_bytes() == OLD
        assert list(existing.parent.iterdir()) == [existing]

    @pytest.mark.parametrize(
        ("words", "is_hinted"),
        [("4096 requested and 0 written", True), ("cannot identify image file", False)],
    )
    def test_a_full_disk_is_supposed_where_it_can_be(
        self, existing: Path, words: str, is_hinted: bool
    ) -> None:
        with pytest.raises(OutputError) as caught:
            run(existing, OSError(words))
        assert ("(is the disk full?)" in str(caught.value)) == is_hinted

    def test_what_a_killed_run_left_is_cleared(self, tmp_path: Path) -> None:
        path = tmp_path / "map.tif"
        stale = work_folder(path)
        (stale / "deep").mkdir(parents=True)
        (stale / "finished").write_bytes(OLD)
        with working_folder(path) as folder:
            assert list(folder.iterdir()) == []
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_folder_is_an_output_error(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="No such file"):
            run(tmp_path / "nowhere" / "map.tif")

    def test_outputs_side_by_side_do_not_meet(self, tmp_path: Path) -> None:
        first, second = tmp_path / "map.tif", tmp_path / "map.gpkg"
        with working_folder(first) as one, working_folder(second) as two:
            (one / "finished").write_bytes(OLD)
            (two / "finished").write_bytes(NEW)
            publish(one / "finished", first)
            publish(two / "finished", second)
        assert (first.read_bytes(), second.read_bytes()) == (OLD, NEW)

    @pytest.mark.parametrize("resume", [False, True])
    def test_a_second_run_is_turned_away_and_changes_nothing(
        self, existing: Path, resume: bool
    ) -> None:
        with working_folder(existing) as folder:
            (folder / "half").write_bytes(NEW)
            with (
                pytest.raises(OutputError, match="is being written by another run"),
                working_folder(existing, resume),
            ):
                pass
            assert (folder / "half").read_bytes() == NEW
        assert existing.read_bytes() == OLD
        assert list(existing.parent.iterdir()) == [existing]

    def test_what_can_be_resumed_keeps_no_lock(self, tmp_path: Path) -> None:
        path = tmp_path / "map.tif"
        with (
            pytest.raises(KeyboardInterrupt),
            working_folder(path, is_resumable=lambda folder: True) as folder,
        ):
            (folder / "half").write_bytes(NEW)
            raise KeyboardInterrupt
        assert list(tmp_path.iterdir()) == [folder]
        with working_folder(path, resume=True):
            assert (folder / "half").read_bytes() == NEW


class TestPublish:
    def test_it_moves_and_replaces(self, existing: Path, tmp_path: Path) -> None:
        finished = tmp_path / "finished"
        finished.write_bytes(NEW)
        publish(finished, existing)
        assert existing.read_bytes() == NEW
        assert list(tmp_path.iterdir()) == [existing]

    @pytest.mark.parametrize("mode", [0o640, 0o444, 0o600])
    def test_it_keeps_who_may_read_and_write(
        self, existing: Path, tmp_path: Path, mode: int
    ) -> None:
        finished = tmp_path / "finished"
        finished.write_bytes(NEW)
        existing.chmod(mode)
        publish(finished, existing)
        assert existing.read_bytes() == NEW and existing.stat().st_mode & 0o777 == mode

    def test_an_output_that_another_program_holds_open(
        self, existing: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(source: Path, target: Path) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "replace", refuse)
        with pytest.raises(OutputError, match=r"map\.tif cannot be replaced; another program"):
            run(existing)
        assert existing.read_bytes() == OLD
        assert list(existing.parent.iterdir()) == [existing]
