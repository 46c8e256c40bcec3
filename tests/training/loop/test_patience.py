"""Stopping early."""

from __future__ import annotations

from pathlib import Path

from microrun.training.loop.patience import Patience


def take(patience: Patience, values: list[float]) -> list[bool]:
    """Whether it is spent after each value, ten steps apart."""
    spent = []
    for number, value in enumerate(values, 1):
        patience.take(10 * number, value)
        spent.append(patience.spent)
    return spent


def test_it_is_spent_when_nothing_was_better_for_so_many_steps() -> None:
    patience = Patience(20)
    assert take(patience, [3.0, 2.0, 2.5, 1.9, 1.9, 2.4]) == [False] * 5 + [True]
    assert patience.best_step == 40


def test_without_steps_it_never_is() -> None:
    assert not any(take(Patience(0), [1.0, *[2.0] * 50]))


def test_what_a_table_keeps_is_recalled_as_it_was_taken(tmp_path: Path) -> None:
    values = [1.23456789, 1.23456712, 1.234561, 1.3, 1.4]  # the first two are one to six digits
    rows = [f"{10 * number},{0},{value:.6g}" for number, value in enumerate(values, 1)]
    (tmp_path / "metrics.csv").write_text("\n".join(["step,loss,held_out_loss", *rows]) + "\n")
    at_once, recalled = Patience(20), Patience(20)
    spent = take(at_once, values[:4])
    recalled.recall(tmp_path / "metrics.csv", "held_out_loss", 40)
    assert (recalled.best_step, recalled.spent) == (at_once.best_step, spent[-1]) == (30, False)
    recalled.take(50, values[4])
    assert recalled.spent
    Patience(1).recall(tmp_path / "none.csv", "held_out_loss", 40)
