from cdq.core.table.rows import Rows

class QFunction:
    rows: Rows
    n: int
    n_actions: int
    width: int
    reward_width: int
    continuous: bool
    judges: bool
    is_divergent: bool
    def make_room(self) -> None: ...

class TableQ(QFunction):
    def __init__(self, rows: Rows, n: int) -> None: ...
