"""Writes docs/api.md from the docstrings of what `import glnet_geo` offers: make docs."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from griffe import Docstring, DocstringSectionKind, Parser

import glnet_geo

PAGE = Path(__file__).parent / "api.md"
_HEAD = """# The Python API

Everything that the commands do, for Python programs. `glnet_geo` is typed (PEP 561), and names are
imported when they are first used. Functions take paths as strings or `Path`, report progress to a
function if they are given one, print nothing, and raise `GlnetGeoError` with a message of one line
for whatever a user can put right; warnings go to the logger `glnet_geo`.

This page is made of the docstrings: `make docs`.
"""
_LISTS = {
    DocstringSectionKind.parameters: "Arguments",
    DocstringSectionKind.attributes: "Attributes",
    DocstringSectionKind.returns: "Returns",
    DocstringSectionKind.yields: "Yields",
    DocstringSectionKind.raises: "Raises",
}


def page() -> str:
    """The whole page."""
    members = {name: getattr(glnet_geo, name) for name in glnet_geo.__all__}
    functions = {name: one for name, one in members.items() if not inspect.isclass(one)}
    classes = {name: one for name, one in members.items() if inspect.isclass(one)}
    lines = [_HEAD]
    for title, some in (("Functions", functions), ("Types", classes)):
        links = ", ".join(f"[`{name}`](#{name.lower()})" for name in sorted(some, key=str.lower))
        lines += [f"## {title}", "", f"{links}.", ""]
        for name in sorted(some, key=str.lower):
            lines += _entry(name, some[name])
    return "\n".join(lines).rstrip() + "\n"


def _entry(name: str, member: Any) -> Iterator[str]:
    yield from (f"### {name}", "", "```python", _signature(name, member), "```", "")
    yield from _text(member.__doc__ or "")
    if inspect.isclass(member):
        for attribute, value in sorted(vars(member).items()):
            if not attribute.startswith("_") and _is_told(value):
                yield from _member(attribute, value)


def _is_told(value: Any) -> bool:
    """Whether it is a method or property with words of its own."""
    return isinstance(value, property | classmethod) or inspect.isfunction(value)


def _member(name: str, value: Any) -> Iterator[str]:
    function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    if not function.__doc__:
        return
    call = "" if isinstance(value, property) else f"({_arguments(_node(function))})"
    yield from (f"#### `.{name}{call}`", "")
    yield from _text(function.__doc__)


def _node(member: Any) -> Any:
    """Its definition, as it is written."""
    return ast.parse(textwrap.dedent(inspect.getsource(member))).body[0]


def _signature(name: str, member: Any) -> str:
    node = _node(member)
    if not inspect.isclass(member):
        arguments = _arguments(node, ",\n    ")
        return f"{name}(\n    {arguments},\n) -> {ast.unparse(node.returns)}"
    fields = [ast.unparse(one) for one in node.body if isinstance(one, ast.AnnAssign)]
    shown = [one for one in fields if not one.startswith("_") and "init=False" not in one]
    return f"{name}(\n    " + ",\n    ".join(shown) + ",\n)" if shown else f"class {name}"


def _arguments(node: Any, separator: str = ", ") -> str:
    """Its arguments, without self and cls."""
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + given.defaults
    parts = [
        _argument(*pair)
        for pair in zip(plain, defaults, strict=True)
        if pair[0].arg not in ("self", "cls")
    ]
    if given.kwonlyargs:
        pairs = zip(given.kwonlyargs, given.kw_defaults, strict=True)
        parts += ["*", *(_argument(*pair) for pair in pairs)]
    return separator.join(parts)


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else "")


def _text(docstring: str) -> Iterator[str]:
    """A docstring as Markdown."""
    for section in Docstring(inspect.cleandoc(docstring)).parse(Parser.google, warnings=False):
        if section.kind is DocstringSectionKind.text:
            yield from (section.value, "")
        elif section.kind in _LISTS:
            yield from (f"**{_LISTS[section.kind]}**", "")
            yield from (_item(one) for one in section.value)
            yield ""


def _item(one: Any) -> str:
    """An argument, an attribute, what is returned or an error."""
    text = " ".join(one.description.split())
    name = getattr(one, "name", "") or str(getattr(one, "annotation", "") or "")
    return f"- `{name}`: {text}" if name else f"- {text}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
