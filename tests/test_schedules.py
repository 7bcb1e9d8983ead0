from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdq import schedules
from cdq.core.table.rows import Law
from cdq.errors import ConfigError
from cdq.mdp.model import MDP
from cdq.schedules import Constant, ExponentialDecay, LinearDecay, Polynomial, RescaledLinear, laws
from tests.reference import schedules as reference
from tests.strategies import DTYPES, make_worker, set_table, values_of

EVERY = [
    Constant(0.1),
    LinearDecay(1.0, 0.05, 1e6),
    ExponentialDecay(0.9, 0.01, 5e5),
    RescaledLinear(0.99),
    Polynomial(0.77),
]
CLOCK_LAWS = [RescaledLinear(0.0), RescaledLinear(0.99), Polynomial(0.77), Polynomial(1.0)]
COUNTS = [*range(1, 4200), *range(8180, 8300), 10**5, 10**6 + 7, 2**30, 2**31 - 1, 2**31 + 2**24, 2**32 - 1]


def forget() -> None:
    """Forget the laws that are kept, so that the next one is tabulated anew."""
    laws._law_by_clock.cache_clear()
    laws._constant_law.cache_clear()


@pytest.fixture
def tabulate(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives a law's arrays instead of handing them to the kernel."""

    def arrays(step_size: Any, steps: int = 0, mass: float = 0.3, dtype: Any = "float64") -> Any:
        def keep(bits: int, *columns: Any) -> Any:
            assert Law(bits, *columns).real_size == np.dtype(dtype).itemsize
            names = ("step_size", "log_keep", "slope", "allowance")
            return SimpleNamespace(bits=bits, **dict(zip(names, columns, strict=True)))

        monkeypatch.setattr(laws, "Law", keep)
        forget()
        try:
            return schedules.build_law(step_size, steps, mass, dtype)
        finally:
            forget()

    return arrays


def entry(count: int, bits: int) -> int:
    """Return where a count's entry is: the count itself, or its top bits after those of the octaves below."""
    shift = max(0, count.bit_length() - bits)
    return (shift << (bits - 1)) + (count >> shift)


# ---- rates


def test_rates_by_steps() -> None:
    assert Constant(0.25).at(10**9) == 0.25
    linear = LinearDecay(0.9, 0.1, 1000)
    assert [linear.at(steps) for steps in (0, 500, 1000, 10**9)] == pytest.approx([0.9, 0.5, 0.1, 0.1])
    exponential = ExponentialDecay(1.0, 0.1, 1000)
    assert exponential.at(0) == 1.0
    assert exponential.at(2000) == pytest.approx(0.1 + 0.9 * math.exp(-2))
    assert exponential.at(10**9) == pytest.approx(0.1)


def test_step_sizes_by_clock() -> None:
    assert RescaledLinear(0.9).of(10) == pytest.approx(0.5)
    assert Polynomial(1.0).of(8) == 0.125
    assert Polynomial(0.77).of(1) == 1.0


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Constant(-0.1), "constant rate is -0.1; allowed: a number from 0 to 1"),
        (lambda: Constant(1.1), "constant rate"),
        (lambda: Constant(math.nan), "constant rate is nan"),
        (lambda: Constant("x"), "constant rate is 'x'"),  # type: ignore[arg-type]
        (lambda: LinearDecay(2, 0, 10), "first rate is 2"),
        (lambda: LinearDecay(1, -1, 10), "last rate is -1"),
        (lambda: LinearDecay(1, 0, 0), "decay's steps is 0; allowed: above 0"),
        (lambda: LinearDecay(1, 0, math.nan), "decay's steps is nan"),
        (lambda: LinearDecay(1, 0, math.inf), "decay's steps is inf"),
        (lambda: ExponentialDecay(2, 0, 10), "first rate"),
        (lambda: ExponentialDecay(1, 2, 10), "last rate"),
        (lambda: ExponentialDecay(1, 0, -5), "decay's steps is -5"),
        (lambda: RescaledLinear(1.0), "gamma of the rescaled linear step size is 1.0"),
        (lambda: RescaledLinear(-0.1), "gamma"),
        (lambda: RescaledLinear(math.nan), "gamma"),
        (lambda: Polynomial(0.0), "omega is 0.0; allowed: above 0 and up to 1"),
        (lambda: Polynomial(1.5), "omega is 1.5"),
        (lambda: Polynomial(math.nan), "omega is nan"),
    ],
)
def test_parameters_are_checked(make: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        make()


# ---- from what users write


def test_numbers_are_constant_rates() -> None:
    assert schedules.as_rate(1, "exploration") == Constant(1.0)
    assert schedules.as_step_size(0.5, 0.9) == Constant(0.5)
    for rate in EVERY[:3]:
        assert schedules.as_rate(rate, "exploration") is rate
    for step_size in EVERY:
        assert schedules.as_step_size(step_size, 0.9) is step_size


def test_the_default_step_size_is_rescaled_by_the_horizon() -> None:
    assert schedules.as_step_size(None, 0.9) == RescaledLinear(0.9)
    assert schedules.as_step_size(None, 1.0) == Polynomial(0.77)


@pytest.mark.parametrize("value", [None, True, [0.1], RescaledLinear(0.9), "polynomial(0.5)", LinearDecay])
def test_what_is_no_rate_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"exploration is .*; allowed: a number from 0 to 1, Constant"):
        schedules.as_rate(value, "exploration")


@pytest.mark.parametrize("value", [True, [0.1], Polynomial, 0.0, "linear(0, 0, 10)", lambda steps: 0.0])
def test_what_is_no_step_size_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="step_size is"):
        schedules.as_step_size(value, 0.9)


@pytest.mark.parametrize("schedule", EVERY)
def test_configurations_are_read_back(schedule: Any) -> None:
    assert schedules.from_config(schedules.to_config(schedule)) == schedule


@pytest.mark.parametrize("schedule", EVERY)
@pytest.mark.parametrize("form", ["{0}:{1}", "{0}({2})", " {0} ( {2} ) "])
def test_texts_are_read_back(schedule: Any, form: str) -> None:
    kind, *numbers = map(str, schedules.to_config(schedule).values())
    text = form.format(kind, ":".join(numbers), ", ".join(numbers))
    assert schedules.parse(text) == schedule
    assert schedules.as_step_size(text, 0.9) == schedule


# ---- functions of the steps


def falling(steps: int) -> float:
    """Return a rate that falls in a straight line."""
    return max(0.05, 1.0 - steps / 1e5)


@pytest.mark.parametrize(
    ("function", "most"),
    [
        (falling, 0.011),
        (lambda steps: math.exp(-steps / 5000), 1e-4),
        (lambda steps: 1 / math.sqrt(1 + steps), 1e-4),
        (lambda steps: np.float32(0.25), 0.0),
        (lambda steps: 0.999**steps, 1e-4),
    ],
)
def test_a_function_of_the_steps_is_tabulated(function: Any, most: float) -> None:
    """It is exact at few steps and where it is called, and close to the function between."""
    rate = schedules.as_rate(function, "exploration")
    assert [rate.at(steps) for steps in range(65)] == [float(function(steps)) for steps in range(65)]
    assert [rate.at(2**k) for k in range(41)] == [float(function(2**k)) for k in range(41)]
    assert rate.at(2**50) == rate.at(2**40) == float(function(2**40))
    steps = np.random.default_rng(0).integers(0, 10**6, 2000).tolist()
    assert max(abs(rate.at(n) - float(function(n))) for n in steps) <= most


def test_a_tabulated_rate_is_read_back() -> None:
    rate = schedules.as_rate(falling, "exploration")
    config = json.loads(json.dumps(schedules.to_config(rate)))
    assert schedules.from_config(config) == rate
    assert len(json.dumps(config)) < 20_000


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (
            lambda steps: 1 - steps / 1e6,
            r"exploration\(1,015,808\) is -0.01.*; allowed: a number from 0 to 1, at",
        ),
        (lambda steps: None, r"exploration\(0\) is None"),
        (
            lambda steps: 1 / steps,
            r"exploration\(0\) raised ZeroDivisionError: division by zero; a schedule is",
        ),
        (lambda: 0.1, r"exploration\(0\) raised TypeError"),
        (lambda steps: math.nan, r"exploration\(0\) is nan"),
    ],
)
def test_a_function_that_is_no_rate_is_refused(function: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        schedules.as_rate(function, "exploration")


@pytest.mark.parametrize(
    ("steps", "rates"),
    [((), ()), ((1, 2), (0.1, 0.2)), ((0, 2, 2), (0.1, 0.2, 0.3)), ((0, 1), (0.1,)), ((0,), (2.0,))],
)
def test_a_table_that_is_no_rate_is_refused(steps: Any, rates: Any) -> None:
    with pytest.raises(ConfigError, match="tabulated rate"):
        schedules.from_config({"kind": "tabulated", "steps": steps, "rates": rates})


def test_a_table_from_a_file_has_a_bounded_length() -> None:
    many = list(range(5000))
    with pytest.raises(ConfigError, match="up to 4,096"):
        schedules.from_config({"kind": "tabulated", "steps": many, "rates": [0.5] * 5000})


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"kind": "polynomal", "omega": 1}, "unknown schedule 'polynomal'.*Did you mean 'polynomial'"),
        ({}, "unknown schedule None"),
        ({"kind": "constant"}, "schedule 'constant'.*value"),
        ({"kind": "constant", "value": 0.1, "steps": 3}, "schedule 'constant'.*steps"),
        ({"kind": "constant", "value": 7}, "constant rate is 7"),
    ],
)
def test_wrong_configurations_are_refused(config: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        schedules.from_config(config)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "unknown schedule ''"),
        ("quick", "unknown schedule 'quick'; known: constant, exponential, linear"),
        ("lnear:1:0:10", "Did you mean 'linear'"),
        ("linear", "write it as linear:first:last:steps"),
        ("linear:1:0", "write it as linear:first:last:steps"),
        ("linear:1:zero:10", "write it as linear:first:last:steps"),
        ("polynomial:2", "omega is 2.0"),
        ("linear(1, 0.05", r"write it as linear\(NUMBER"),
        ("linear(1, 0.05)", "write it as linear:first:last:steps"),
        ("linear()", "write it as linear:first:last:steps"),
        ("linear(1, (2), 3)", "write it as linear:first:last:steps"),
        ("linear(1, 0, 10) + 1", "unknown schedule"),
        ("__import__(1)", "unknown schedule"),
        ("tabulated(1, 2)", "unknown schedule 'tabulated'"),
        ("nan", "constant rate is nan"),
        ("1.5", "constant rate is 1.5"),
    ],
)
def test_wrong_texts_are_refused(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        schedules.parse(text)


# ---- laws as tables


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("law", CLOCK_LAWS)
def test_laws_by_clock(law: Any, dtype: str, tabulate: Any) -> None:
    """Exact below 4096 counts, within 2^-11 beyond."""
    table = tabulate(law, dtype=dtype)
    real = np.dtype(dtype).type
    expected = reference.Law(law, 0, 0.3, dtype)
    for count in COUNTS:
        alpha = table.step_size[entry(count, table.bits)]
        assert alpha == expected.of(count)
        if count < 4096:
            assert alpha == real(law.of(count))
        else:
            assert abs(float(alpha) / law.of(count) - 1) < 2**-11


@pytest.mark.parametrize("law", [*CLOCK_LAWS, Constant(0.1), Constant(1.0)])
def test_logs_of_what_is_kept_are_cumulative(law: Any, tabulate: Any) -> None:
    table = tabulate(law)
    total, expected = 0.0, reference.Law(law, 0, 0.3, "float64")
    for count in range(1, 20_000):
        place = entry(count, table.bits)
        total += table.slope[place]
        looked_up = table.log_keep[place] + table.slope[place] * count  # as the kernel does
        assert looked_up == pytest.approx(total, rel=1e-12)
        assert looked_up == expected.log_keep(count)
    if isinstance(law, RescaledLinear) and law.gamma > 0:
        exact = math.fsum(math.log1p(-law.of(count)) for count in range(1, 20_000))
        assert total == pytest.approx(exact, rel=1e-6)


def test_a_step_size_of_one_keeps_e_to_the_minus_50(tabulate: Any) -> None:
    assert tabulate(Constant(1.0)).slope[1:].tolist() == [-50.0] * 32
    assert tabulate(Polynomial(1.0)).slope[1] == -50.0
    assert tabulate(Constant(0.1)).slope[0] == 0.0


@pytest.mark.parametrize("law", [*CLOCK_LAWS, Constant(0.1)])
@pytest.mark.parametrize("mass", [1e-6, 0.3, 5.0, 1e12])
def test_allowances(law: Any, mass: float, tabulate: Any) -> None:
    table = tabulate(law, mass=mass)
    expected = reference.Law(law, 0, mass, "float64")
    for count in [1, 2, 100, 4095, 4096, 10**6, 2**31 - 1]:
        allowance = table.allowance[entry(count, table.bits)]
        assert allowance == expected.allowance(count)
        if count < 4096:
            alpha = law.at(0) if isinstance(law, Constant) else law.of(count)
            assert allowance == min(math.ceil(min(mass / alpha, 2.0**31 - 1)), 2**31 - 1)


def test_step_sizes_by_steps_are_those_of_the_windows_start(tabulate: Any) -> None:
    decay = LinearDecay(0.5, 0.1, 1000)
    assert (tabulate(decay, steps=500).step_size == decay.at(500)).all()
    np.testing.assert_allclose(tabulate(decay, steps=2000).step_size, 0.1, rtol=1e-12)


# ---- closed forms through the real loop
# One state, one action, no reward: every visit multiplies the value by 1 - (1 - gamma) alpha.


def learnt(step_size: Any, steps: int, windows: int = 1) -> float:
    worker = make_worker(MDP.from_outcomes([0], [0], [0], [1.0], [0.0]))
    set_table(worker, 10.0, 0)
    law = schedules.build_law(step_size, 0, 0.3, "float64")
    for _ in range(windows):
        worker.run(law, steps // windows, 0.1, 0.1)
        worker.commit_alone()
    return float(values_of(worker)[0, 0])


@pytest.mark.parametrize("windows", [1, 4, 100])
def test_closed_form_of_one_over_n(windows: int) -> None:
    """Q0 Gamma(t + gamma) / (Gamma(gamma) Gamma(t + 1)): after 1000 visits still half of it."""
    exact = 10 * math.exp(math.lgamma(1000.9) - math.lgamma(0.9) - math.lgamma(1001))
    assert learnt(Polynomial(1.0), 1000, windows) == pytest.approx(exact, rel=1e-11)  # lgamma's accuracy
    assert learnt(Polynomial(1.0), 1000, windows) == pytest.approx(4.689792466954, rel=1e-12)
    product = math.prod(1 - 0.1 / n for n in range(1, 1001))
    assert learnt(Polynomial(1.0), 1000, windows) == pytest.approx(10 * product, rel=1e-12)


@pytest.mark.parametrize("windows", [1, 4, 100])
def test_closed_form_of_rescaled_linear(windows: int) -> None:
    """Q0 / (1 + (1 - gamma) t)."""
    assert learnt(RescaledLinear(0.9), 1000, windows) == pytest.approx(10 / 101, rel=1e-12)
    assert learnt(RescaledLinear(0.9), 1000, windows) == pytest.approx(0.099009900990, abs=1e-12)


def test_value_of_polynomial() -> None:
    assert learnt(Polynomial(0.77), 1000) == pytest.approx(1.7143, abs=5e-5)


@given(st.floats(0.01, 1.0), st.integers(1, 300))
def test_closed_form_of_constant(alpha: float, steps: int) -> None:
    assert learnt(Constant(alpha), steps) == pytest.approx(10 * (1 - 0.1 * alpha) ** steps, rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step_size", [Constant(0.5), RescaledLinear(0.9), Polynomial(0.77)])
def test_a_scale_multiplies_the_step_sizes_and_nothing_else(step_size: Any, dtype: str) -> None:
    """The weights of an observation share a step among them, but its error shrinks by the whole of it."""
    law, scaled = (schedules.build_law(step_size, 0, 0.3, dtype, scale) for scale in (1.0, 0.125))
    assert scaled is not law
    assert scaled is schedules.build_law(step_size, 0, 0.3, dtype, 0.125)
    steps, *others = (np.asarray(array) for array in law.arrays)
    scaled_steps, *scaled_others = (np.asarray(array) for array in scaled.arrays)
    assert scaled_steps.dtype == dtype
    assert (scaled_steps == steps / 8).all()
    assert all((one == other).all() for one, other in zip(scaled_others, others, strict=True))
