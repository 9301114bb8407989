"""The scenes of a batch: what the words of its command mean, and what their outputs are called."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glnet_geo.errors import BatchError, GlnetGeoError
from glnet_geo.remote import ScenePath, scene_path
from glnet_geo.safety import check_inside
from glnet_geo.scene_globs import Parts, identity, is_scene, leads_to, matches, walk
from glnet_geo.scene_lists import csv_scenes, read_document, real_path, text_scenes
from glnet_geo.scene_names import SCENE_SUFFIXES, Found, fold, found_file, unique_names
from glnet_geo.stac_items import item_scenes
from glnet_geo.vrt_tiles import vrt_tiles

_STAC_SUFFIXES = (".json", ".geojson")
_LIST_SUFFIXES = (".txt", ".csv", *_STAC_SUFFIXES)


@dataclass(frozen=True, slots=True)
class SceneInput:
    """A scene of a batch.

    Attributes:
        path: Its file, or what GDAL fetches.
        name: What its outputs are called in the batch's folder: relative, with `/`, without
            extension; safe, and unique even where case and Unicode form don't count.
        acquired: When it was taken, RFC 3339; None where nothing says so.
    """

    path: ScenePath
    name: str
    acquired: str | None = None


def find_inputs(
    words: Sequence[str],
    *,
    pattern: str | None = None,
    asset: str | None = None,
    exclude: Path,
    safe: bool = False,
) -> list[SceneInput]:
    """The scenes that words mean, without opening any of them.

    Args:
        words: Directories (searched with all their folders), files, globs, URLs, lists (.txt,
            .csv), virtual rasters and STAC documents.
        pattern: A glob that takes the place of the usual extensions in directories: of the name,
            or with a slash of the path below the directory.
        asset: Key of the asset that is the scene in STAC items.
        exclude: The batch's folder. What lies there is found only if it is named itself.
        safe: Whether nothing is trusted: no URLs, and of folders and lists only what lies in them
            or in a list's folder, see `safety`.

    Returns:
        Each scene once: in the order of the words, in directories in natural order.

    Raises:
        BatchError: A word means nothing, or the output of a scene would replace it.
    """
    search = _Search(pattern, asset, exclude, safe)
    scenes = _apart(_once(scene for word in words for scene in search.expand(word)))
    if not scenes:
        raise BatchError("No scenes are named. Name directories, files, lists or URLs.")
    inputs = [
        SceneInput(scene.path, name, scene.acquired)
        for scene, name in zip(scenes, unique_names(scenes), strict=True)
    ]
    folder = os.path.realpath(exclude)
    for scene, one in zip(scenes, inputs, strict=True):
        if scene.real == os.path.normcase(os.path.join(folder, f"{one.name}.tif")):
            raise BatchError(f"The map of {one.path} would replace it. Choose another folder.")
    return inputs


class _Search:
    """What does not change from word to word."""

    def __init__(self, pattern: str | None, asset: str | None, exclude: Path, safe: bool) -> None:
        self._pattern = pattern
        self._asset = asset
        self._exclude = exclude
        self._excluded = identity(exclude)
        self._safe = safe

    def expand(self, word: str) -> list[Found]:
        """The scenes that a word means, one at least."""
        path = scene_path(word)
        if isinstance(path, str):
            return [self._remote(path)]
        if not word or "\0" in word:
            raise BatchError("A scene's path is empty or no path. Name a file or directory.")
        if os.path.isdir(path):
            return self._directory(path)
        if os.path.lexists(path):
            return self._file(path, found_file(path, real_path(path)))
        if glob.has_magic(word):
            return self._glob(word, path)
        raise BatchError(f"{word} does not exist.")

    def _checked(self, scenes: list[Found], folder: Path) -> list[Found]:
        """Scenes that a folder, or a list in it, leads to."""
        for scene in scenes if self._safe else ():
            try:
                check_inside(scene.path, folder)
            except GlnetGeoError as error:
                raise BatchError(str(error)) from None
        return scenes

    def _remote(self, url: str) -> Found:
        if self._safe:
            raise BatchError(f"{url} is no local file, and --safe reads no others. Download it.")
        scene = found_file(url, url)
        if scene.suffix.lower() in _LIST_SUFFIXES:
            raise BatchError(f"{url} is a list. Download it, and name the file.")
        return scene

    def _directory(self, folder: Path) -> list[Found]:
        if self._excluded is not None and identity(folder) == self._excluded:
            raise BatchError(f"{folder} is the folder of the outputs. Choose another for them.")
        root = os.path.basename(os.path.abspath(folder))
        scenes = [
            _below(Path(path), real, parts, root=root)
            for path, real, parts in walk(folder, self._excluded, lambda _: True)
            if is_scene(parts, self._pattern)
        ]
        if not scenes:
            wanted = self._pattern or " ".join(f"*{suffix}" for suffix in SCENE_SUFFIXES)
            hint = f"has no files {wanted} in it or in its folders. Choose others with --pattern."
            raise BatchError(f"{folder} {hint}")
        return self._checked(scenes, folder)

    def _glob(self, word: str, path: Path) -> list[Found]:
        """What a shell that knows globs would have made of it, with the folders in the names."""
        n_plain = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
        head, globs = Path(*path.parts[:n_plain]), path.parts[n_plain:]
        suffix = os.path.splitext(globs[-1])[1]
        is_free = not suffix or glob.has_magic(suffix)

        def is_meant(parts: Parts) -> bool:
            if matches(parts, globs):
                return not is_free or is_scene(parts, self._pattern)
            is_below = any(matches(parts[:n], globs) for n in range(1, len(parts)))
            return is_below and is_scene(parts, self._pattern)

        scenes: list[Found] = []
        if os.path.isdir(head):
            for file, real, parts in walk(head, self._excluded, lambda at: leads_to(at, globs)):
                if is_meant(parts):
                    scenes += self._file(Path(file), _below(Path(file), real, parts))
        if not scenes:
            raise BatchError(f"{word} does not exist, and no scene matches it.")
        return self._checked(scenes, head)

    def _file(self, path: Path, scene: Found) -> list[Found]:
        """The scenes of a list, or the one that a file is."""
        suffix = path.suffix.lower()
        if suffix == ".vrt" and not self._safe:
            tiles = vrt_tiles(path, read_document(path))
            return [found_file(tile, real_path(tile)) for tile in tiles] or [scene]
        if suffix not in _LIST_SUFFIXES:
            return [scene]
        content = read_document(path)
        if suffix in _STAC_SUFFIXES:
            scenes = item_scenes(path, content, self._asset)
        else:
            scenes = (text_scenes if suffix == ".txt" else csv_scenes)(path, content)
        if not scenes:
            raise BatchError(f"{path} lists no scenes.")
        return self._checked(scenes, path.parent)


def _below(path: Path, real: str, parts: Parts, root: str = "") -> Found:
    return found_file(path, os.path.normcase(real), folders=parts[:-1], root=root)


def _once(scenes: Iterable[Found]) -> list[Found]:
    """Each scene once, as it was found first."""
    first: dict[str, Found] = {}
    for scene in scenes:
        first.setdefault(scene.real, scene)
    return list(first.values())


def _apart(scenes: list[Found]) -> list[Found]:
    """The scenes, below their directories' own names if those of several would clash."""
    origins: dict[str, set[str]] = defaultdict(set)
    for scene in scenes:
        if scene.root:
            origins[fold(scene.name(0))].add(scene.root)
    if all(len(roots) == 1 for roots in origins.values()):
        return scenes
    return [
        replace(scene, folders=(scene.root, *scene.folders)) if scene.root else scene
        for scene in scenes
    ]
