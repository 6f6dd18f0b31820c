"""The example of docs/analytics.md: the readings that it has its reader send, and the answers that it prints."""

import re

from .tools import ROOT

TEXT = (ROOT / "docs/analytics.md").read_text()


def readings():
    """The lines of its file of readings."""
    return re.search(r"<<'END'\n(.*?)^END$", TEXT, re.DOTALL | re.MULTILINE)[1]


def cells(line):
    """One space stands within a timestamp, and more between columns."""
    return re.split(r" {2,}", line.strip())


def answers():
    """Each question by name, with the rows of its answer, by column; of an answer that is cut off, the first."""
    found = {}
    for question, table in re.findall(r"^\$ dashboards/athena/ask (\w+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE):
        header, *rows = map(cells, table.splitlines())
        found[question] = [dict(zip(header, row, strict=True)) for row in rows if not row[0].startswith("(")]
    return found
