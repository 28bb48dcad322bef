"""Pages that the course's tools write: a title, and tables of cells that are HTML already."""

from collections.abc import Iterable

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto }}
body {{ padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #ccc }}
td:nth-child(2), td:nth-child(3) {{ font-variant-numeric: tabular-nums }}
.failed {{ color: #a40000; font-weight: bold }}
{style}</style>
<h1>{title}</h1>
{body}
</html>
"""


def page(title: str, *parts: str, style: str = "") -> str:
    """A whole page of parts that are HTML."""
    return PAGE.format(title=title, body="\n".join(parts), style=style)


def table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table with a line of heads."""
    lines = ["".join(f"<th>{each}</th>" for each in heads)]
    lines += ["".join(f"<td>{each}</td>" for each in row) for row in rows]
    return "<table>\n" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>"
