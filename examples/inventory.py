"""Plan the orders of a shop with 99,856 states, write them into a CSV file, and draw them: nothing is learnt."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot
from matplotlib.colors import ListedColormap

import cdq

SIZE, LOT = 316, 40  # pieces that fit into the store, of each product; pieces that are ordered at once
DEMAND = np.array([0.3, 0.4, 0.2, 0.1])  # probability that customers want 0, 1, 2 or 3 pieces of a product
ORDERS = ("nothing", "a lot of A", "a lot of B", "both")


def shop() -> cdq.MDP:
    """Return the model, of an outcome for each state, order and demand for both products."""
    state, action, wants_a, wants_b = np.ix_(*map(np.arange, (SIZE * SIZE, 4, 4, 4)))
    stock_a = np.minimum(state // SIZE + LOT * (action % 2), SIZE - 1)
    stock_b = np.minimum(state % SIZE + LOT * (action // 2), SIZE - 1)
    sold_a, sold_b = np.minimum(stock_a, wants_a), np.minimum(stock_b, wants_b)
    next_state = (stock_a - sold_a) * SIZE + (stock_b - sold_b)
    price_of_order = np.array([0.0, 30.0, 30.0, 50.0])[action]
    reward = 5.0 * sold_a + 8.0 * sold_b - price_of_order - 0.02 * (stock_a + stock_b)
    probability = DEMAND[wants_a] * DEMAND[wants_b]
    columns = np.broadcast_arrays(state, action, next_state, probability, reward)
    return cdq.MDP.from_outcomes(*(column.ravel() for column in columns), name="two products")


def draw(orders: np.ndarray) -> None:
    """Draw the order for each stock."""
    figure, ax = pyplot.subplots(layout="constrained")
    image = ax.imshow(
        orders[:60, :60].T,
        origin="lower",
        vmin=-0.5,
        vmax=3.5,
        cmap=ListedColormap(pyplot.cm.cividis.colors[::85]),
    )
    figure.colorbar(image, ticks=range(4)).set_ticklabels(ORDERS)
    ax.set(xlabel="pieces of A", ylabel="pieces of B", title="order in the evening")
    figure.savefig("inventory.svg")


def main() -> None:
    optimal = cdq.solve(shop(), gamma=0.99)
    orders = optimal.policy.reshape(SIZE, SIZE)
    pieces = np.indices((SIZE, SIZE)).reshape(2, -1)
    rows = np.column_stack([*pieces, optimal.policy, optimal.state_values.round(2)])
    np.savetxt("orders.csv", rows, "%g", ",", header="pieces of A,pieces of B,order,value", comments="")
    draw(orders)
    print(f"{len(rows):,} rows in orders.csv; values within {optimal.error:.0e} of optimal")
    print(f"with nothing left, order {ORDERS[orders[0, 0]]}; with 100 of each, {ORDERS[orders[100, 100]]}")


if __name__ == "__main__":
    main()
