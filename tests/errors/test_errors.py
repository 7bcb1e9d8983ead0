from __future__ import annotations

import pytest

from cdq import errors


def test_every_error_is_cdqs_and_what_python_would_raise() -> None:
    bases = {
        errors.ConfigError: ValueError,
        errors.ModelError: ValueError,
        errors.UnsupportedEnvironment: ValueError,
        errors.TableError: ValueError,
        errors.FileError: OSError,
        errors.CommTimeout: errors.CommError,
        errors.PeerLost: errors.CommError,
        errors.CollectiveMismatch: errors.CommError,
        errors.CommClosed: errors.CommError,
        errors.BackendUnavailable: ImportError,
    }
    for error, base in bases.items():
        assert issubclass(error, errors.CdqError)
        assert issubclass(error, base)
        assert error.__doc__


def test_lost_ranks_are_told() -> None:
    assert errors.CommTimeout("late", [1, 2]).missing == (1, 2)
    assert errors.PeerLost("gone", [0]).ranks == (0,)
    assert errors.CommTimeout("late").missing == errors.PeerLost("gone").ranks == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("poled", "unknown merge 'poled'; known: mean, pooled. Did you mean 'pooled'?"),
        ("zzz", "unknown merge 'zzz'; known: mean, pooled."),
        (None, "unknown merge None; known: mean, pooled."),
    ],
)
def test_unknown_names_offer_the_nearest(name: object, message: str) -> None:
    assert errors.unknown_name("merge", name, ["pooled", "mean"]) == message
