"""Tables that were published, as files: every figure with the arm that makes it here, and what it is cited for."""

from typing import Any

from pydantic import Field

from lmcompare import config as configs
from lmcompare.config import Frozen, Table
from lmcompare.errors import UserError, unknown

ROOM = "tables"


class Column(Frozen):
    """Which figure of ours stands in a column of the table."""

    task: str
    metric: str
    split: str = "dev"
    tolerance: float | None = Field(None, gt=0)  # points; absent: the table's


class Row(Frozen):
    name: str  # as the paper has it
    arm: str  # of the study at full size
    points: dict[str, float] = Field(min_length=1)  # by column


class Claim(Frozen):
    """What the table is cited for: one arm is better than another by at least so many points, over the tasks; by 0:
    by anything, but better."""

    says: str
    more: str
    than: str
    by: float = 0.0
    tasks: list[str] = Field(default_factory=list)  # these alone count, of those that there are; none: all


class Form(Frozen):
    """How the study is made to be the table's."""

    arms: list[str] = Field(default_factory=list)  # none: all of them
    model: str = ""  # the study's model that --model names
    study: Table = Field(default_factory=dict)  # laid over the study's file


class Published(Frozen):
    """A table of a paper."""

    title: str
    source: str  # paper, table, section
    study: str
    note: str = ""  # what a reader must know before comparing
    tolerance: float = Field(gt=0)  # points
    columns: dict[str, Column] = Field(min_length=1)
    rows: list[Row] = Field(min_length=1)
    claims: list[Claim] = Field(default_factory=list)
    full: Form = Form()
    micro: Form = Form()


def read(name: str) -> Published:
    table = configs.parse(Published, configs.read_table(name, ROOM), f"table {name}")
    for row in table.rows:
        for column in row.points:
            if column not in table.columns:
                raise UserError(unknown("column", column, table.columns, f"table {name}, row {row.name!r}"))
    return table


def tables() -> dict[str, Any]:
    """All that can be reproduced."""
    rows = []
    for name in configs.preset_names(ROOM):
        table = read(name)
        figures = sum(len(row.points) for row in table.rows)
        facts = {"title": table.title, "source": table.source, "study": table.study}
        rows.append({"table": name, **facts, "figures": figures, "claims": len(table.claims)})
    return {"room": ROOM, "columns": [*rows[0]], "rows": rows}
