"""The part of Markdown that our documents use, as roff for man pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPECIAL = {"\\": "\\e", "-": "\\-", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga"}
_INLINE = re.compile(r"(``?)(.+?)\1|\[((?:`[^`]*`|[^\]`])*)\]\(([^)\s]+)\)|\*\*(.+?)\*\*|\*([^*\s][^*]*)\*")


def quoted(plain: str) -> str:
    """Plain text, with what roff would take for its own made harmless; not for the beginning of a line."""
    return "".join(_SPECIAL.get(char, char) for char in plain)


def bold(plain: str) -> str:
    """Plain text in bold."""
    return f"\\fB{quoted(plain)}\\fR"


def text(markdown: str) -> str:
    """A line of Markdown."""
    parts, end = [], 0
    for match in _INLINE.finditer(markdown):
        parts.append(quoted(markdown[end : match.start()]))
        _, code, linked, url, strong, emphasis = match.groups()
        if code is not None:
            parts.append(bold(code.strip()))
        elif linked is not None:
            parts.append(text(linked) + (f" \\(la{quoted(url)}\\(ra" if url.startswith("https://") else ""))
        elif strong is not None:
            parts.append(bold(strong))
        else:
            parts.append(f"\\fI{quoted(emphasis)}\\fR")
        end = match.end()
    line = "".join([*parts, quoted(markdown[end:])])
    return f"\\&{line}" if line.startswith((".", "'")) else line


def from_markdown(document: str) -> Iterator[str]:
    """The lines of roff for paragraphs, headings (`##` and below), lists, tables and blocks of code."""
    first = True
    for block in _blocks(document):
        if block[0].startswith("#"):
            marks, _, title = block[0].partition(" ")
            bare = re.sub(r"[`*]", "", title)
            yield f'.{"SH" if len(marks) < 3 else "SS"} "{quoted(bare.upper() if len(marks) < 3 else bare)}"'
            first = True
            continue
        if block[0].startswith("|"):
            yield from _table(block)
        elif block[0].startswith("```") or block[0].startswith("    "):
            yield from _code(block, first)
        elif re.match(r"- |\d+\. ", block[0]):
            yield from _list(block)
        else:
            yield from () if first else (".PP",)
            yield text(" ".join(line.strip() for line in block))
        first = False


def _blocks(document: str) -> Iterator[list[str]]:
    """Runs of lines that belong together."""
    block: list[str] = []
    fenced = False
    for line in [*document.splitlines(), ""]:
        stripped = line.strip()
        if fenced:
            block.append(line)
            if stripped.startswith("```"):
                fenced = False
                yield block
                block = []
            continue
        code = line.startswith("    ") and (not block or block[0].startswith("    "))
        begins = stripped.startswith(("```", "#")) or (bool(re.match(r"- |\d+\. ", line)) and not _is_list(block))
        if block and (begins or (not stripped and not (_is_code(block) and code)) or (_is_code(block) and not code)):
            yield block
            block = []
        if stripped.startswith("```"):
            fenced = True
        if stripped:
            block.append(line)
            if stripped.startswith("#"):
                yield block
                block = []


def _is_code(block: list[str]) -> bool:
    return bool(block) and block[0].startswith("    ")


def _is_list(block: list[str]) -> bool:
    return bool(block) and bool(re.match(r"- |\d+\. ", block[0]))


def _code(block: list[str], first: bool) -> Iterator[str]:
    lines = [line.strip() if line.strip().startswith("```") else line for line in block]
    if lines[0].startswith("```"):
        lines = lines[1:-1]
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    yield from () if first else (".PP",)
    yield from (".RS 4", ".nf")
    for line in lines:
        shown = quoted(line[indent:])
        yield f"\\&{shown}" if shown.startswith((".", "'")) or not shown else shown
    yield from (".fi", ".RE")


def _list(block: list[str]) -> Iterator[str]:
    items: list[list[str]] = []
    for line in block:
        if match := re.match(r"(-|\d+\.) (.*)", line):
            items.append([match[1], match[2]])
        else:
            items[-1].append(line.strip())
    for mark, *words in items:
        yield ".IP \\(bu 2" if mark == "-" else f".IP {mark} 4"
        yield text(" ".join(words))


def _table(block: list[str]) -> Iterator[str]:
    """Each row as a tagged paragraph; cells between the first and the last are told by their column's name."""
    rows = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block]
    head = rows[0]
    for row in rows[2:] if len(rows) > 1 and set(rows[1][0]) <= set("-: ") else rows:
        tag = text(row[0])
        yield from (".TP", tag if tag.startswith("\\fB") else bold(re.sub(r"[`*]", "", row[0])))
        between = [f"{head[place]}: {row[place]}" for place in range(1, len(row) - 1) if row[place]]
        yield text(row[-1] + (f" ({'; '.join(between)})" if between else ""))
