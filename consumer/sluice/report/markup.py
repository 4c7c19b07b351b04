"""HTML that escapes by construction: plain text goes in, only `element` makes HTML."""

from html import escape

from sluice.core.printable import printable


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


VOID = frozenset({"img", "meta"})


def element(name: str, /, *children: str, **attributes: str | None) -> Html:
    """Return one element. Children that are not Html and all attribute values are escaped.

    Attribute names lose a trailing underscore (`class_`) and turn inner ones into hyphens; None leaves one out.
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_shown(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Return the children one after the other, escaped unless they are Html."""
    return Html("".join(child if isinstance(child, Html) else _shown(child) for child in children))


def _shown(text: str) -> str:
    """Return text as HTML: nothing in it is markup, turns the line around or is invisible."""
    return escape(printable(text, keep="\n\t"))
