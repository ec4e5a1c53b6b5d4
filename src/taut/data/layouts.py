"""Which of the ways to store a dataset is there, and what is missing of it."""

from pathlib import Path

from .cards import Card, Layout, Source

# Parts asked for; none means all of them.
Parts = tuple[str, ...]


def present(source: Source, folder: Path) -> bool:
    """Whether the file or folder is there, whatever it holds."""
    path = folder / source.file
    return path.is_dir() if source.folder else path.is_file()


def needed(layout: Layout, parts: Parts = ()) -> list[Source]:
    """The files that the parts are read from."""
    return [
        source
        for source in layout.files
        if not parts or not source.parts or set(source.parts) & set(parts)
    ]


def complete(layout: Layout, folder: Path, parts: Parts = ()) -> bool:
    """Whether the layout knows the parts and all that they need is there."""
    known = {part for source in layout.files for part in source.parts}
    covered = not known or known.issuperset(parts)
    files = needed(layout, parts)
    return covered and all(present(one, folder) or one.optional for one in files)


def nearest(card: Card, folder: Path, parts: Parts = ()) -> Layout:
    """The first complete layout, or else the one with the most files present."""
    for layout in card.layouts:
        if complete(layout, folder, parts):
            return layout
    return max(
        card.layouts,
        key=lambda layout: sum(present(one, folder) for one in needed(layout, parts)),
    )


def missing_message(card: Card, folder: Path, parts: Parts = ()) -> str:
    """Which files are expected where, where they come from, and what to run."""
    lines = [f"{card.name}: {card.title} is not complete in {folder}."]
    layout = nearest(card, folder, parts)
    for source in needed(layout, parts):
        if not present(source, folder) and not source.optional:
            origin = source.urls[0] if source.urls else card.page
            known = source.checksum or "checksum unknown"
            lines.append(f"  missing: {folder / source.file}  ({origin}, {known})")
    others = [one.title for one in card.layouts if one is not layout]
    if others:
        lines.append(f"  also taken: {'; '.join(others)}")
    lines.append(
        f"Run `taut data fetch {card.name}`, or, if you have the files in DIR, "
        f"`taut data import {card.name} --from DIR`, or set TAUT_DATA to a folder "
        f"that holds {card.name}/."
    )
    return "\n".join(lines)
