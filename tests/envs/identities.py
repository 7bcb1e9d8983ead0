"""Environments of which a copy plays otherwise, or is none."""

from __future__ import annotations

import enum
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from tests.envs.tables import Answer, table_of_walk

GOAL, FREE = object(), object()


class Tile:
    """Equals itself alone."""


class Kind(enum.Enum):
    """A copy of a member is the member."""

    FREE = 0
    GOAL = 1


GOLD, FLOOR = Tile(), Tile()


class Corridor(gymnasium.Env[int, int]):
    """Action 1 goes to the right; the last of *cells* states ends the episode and pays 7."""

    action_space = spaces.Discrete(2)

    def __init__(self, cells: int = 4) -> None:
        self.observation_space, self.at, self.last = spaces.Discrete(cells), 0, cells - 1
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.steps = 0, 0
        return 0, {}

    def step(self, action: int) -> Answer:
        self.at, self.steps = min(self.last, self.at + int(action)), self.steps + 1
        ends = self.at == self.last
        return self.at, self.pay() if ends else 0.0, ends, self.steps >= 500, {}

    def pay(self) -> float:
        return 7.0


class Sentinels(Corridor):
    """Cells are told apart by identity."""

    marks: tuple[Any, Any] = (FREE, GOAL)

    def __init__(self, cells: int = 4) -> None:
        super().__init__(cells)
        self.cells = [self.marks[0]] * self.last + [self.marks[1]]

    def pay(self) -> float:
        return 7.0 * (self.cells[self.at] is self.marks[1])


class Tiles(Sentinels):
    """Cells are told apart by what is equal to itself alone."""

    marks = FLOOR, GOLD


class Kinds(Sentinels):
    """Cells are members of an Enum."""

    marks = Kind.FREE, Kind.GOAL


class Aliased(Corridor):
    """Its list is one that the module has, and no other."""

    PRICES: ClassVar = [7.0]

    def __init__(self) -> None:
        super().__init__()
        self.prices = self.PRICES

    def pay(self) -> float:
        return 7.0 * (self.prices is self.PRICES)


class Viewed(Corridor):
    """The position is an array that is seen through another one."""

    def __init__(self) -> None:
        super().__init__()
        self.board = np.zeros(2, int)
        self.place = self.board[:1]

    def reset(self, **arguments: Any) -> Any:
        self.board[:] = 0
        return super().reset(**arguments)

    def step(self, action: int) -> Answer:
        _, _, _, truncated, info = super().step(action)
        self.place += int(action)
        self.board[0] = min(3, self.board[0])
        ends = bool(self.board[0] == 3)
        return int(self.board[0]), 7.0 * ends, ends, truncated, info


class ById(Corridor):
    """Prices have addresses as keys."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = [[0], [1]]
        self.prices = {id(self.rows[1]): 7.0}

    def pay(self) -> float:
        return self.prices.get(id(self.rows[1]), 0.0)


class Registered(Corridor):
    """Prices are the class's, for each instance."""

    prices: ClassVar[dict[Any, float]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.prices[self] = 7.0

    def pay(self) -> float:
        return self.prices.get(self, 0.0)


class Pristine:
    """A copy of it is as it was at first."""

    price = 1.0

    def __getstate__(self) -> dict[str, Any]:
        return {"left": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        pass


class Reduced:
    """A copy of it is made anew."""

    price = 1.0

    def __reduce__(self) -> Any:
        return Reduced, ()


class Anew:
    """A deep copy of it is made anew."""

    price = 1.0

    def __deepcopy__(self, memo: Any) -> Anew:
        return Anew()


class Priced(Corridor):
    """A member has the price."""

    def __init__(self, kind: Any, *, table: bool = False) -> None:
        super().__init__()
        self.market = kind()
        self.market.price = 7.0
        if table:
            self.P, self.initial_state_distrib = table_of_walk(), np.eye(4)[0]

    def pay(self) -> float:
        return float(self.market.price)


class Place:
    """A copy of it is itself."""

    at = 0

    def __deepcopy__(self, memo: Any) -> Place:
        return self


class Elsewhere(Corridor):
    """A member, or the class, holds the position; what moves it meanwhile is noted."""

    common: ClassVar[list[int]] = [0]

    def __init__(self, *, of_class: bool) -> None:
        super().__init__(31)
        self.place: Any = Place()
        self.of_class, self.moved, self.before = of_class, 0, 0

    def position(self, at: int | None = None) -> int:
        if at is not None:
            self.common[0] = self.place.at = at
        return self.common[0] if self.of_class else self.place.at

    def reset(self, **arguments: Any) -> Any:
        self.before = self.position(0)
        return super().reset(**arguments)

    def step(self, action: int) -> Answer:
        self.moved += self.position() != self.before
        self.before = self.position(self.position() + 1)
        return min(self.before, 30), 1.0, self.before >= 30, False, {}
