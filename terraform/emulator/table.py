"""The statistics, for people."""

COLUMNS = ["device_id", "count", "mean", "median", "standard_deviation", "minimum", "maximum"]


def shown(item, column):
    value = item.get(column)
    if value is None:
        return "–"
    return value if column in ("device_id", "count") else f"{float(value):.4f}"


def table(statistics):
    """A line for each device, by name."""
    rows = [COLUMNS, *([shown(item, column) for column in COLUMNS] for _, item in sorted(statistics.items()))]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = (row[0].ljust(widths[0]) + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:])) for row in rows)
    return "\n".join(lines)
