"""Blueprints: kept whole in JSON, and what differs between two of them in words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microrun.runtime.engines.engine import EngineInfo
from microrun.runtime.errors import VolumeError
from microrun.runtime.generation.blueprint import Blueprint, hash_mask, name_computed
from microrun.runtime.generation.recipe import Order
from microrun.runtime.generation.sampling import Sampling
from microrun.runtime.volumes.volume import Shape

BLUEPRINT = Blueprint(
    (40, 56, 64), 3, "isotropic", Sampling(6, n_resample=2), engine="abc", computed="OpenVINO 1 on cpu in f32"
)


@given(
    shape=st.tuples(*[st.integers(32, 10**6)] * 3),
    seed=st.integers(0, 2**64 - 1),
    order=st.sampled_from(["isotropic", "anisotropic"]),
    sampling=st.builds(
        Sampling, count=st.integers(1, 1000), eta=st.floats(0, 1), n_resample=st.integers(1, 20),
        jump_length=st.integers(1, 20), plain_steps=st.integers(0, 99),
        spacing=st.sampled_from(["leading", "trailing"]),
    ),
    texts=st.tuples(st.text(), st.text(), st.text()),
)  # fmt: skip
def test_blueprints_survive_json(shape: Shape, seed: int, order: Order, sampling: Sampling, texts: Any) -> None:
    blueprint = Blueprint(shape, seed, order, sampling, **dict(zip(("engine", "computed", "part"), texts, strict=True)))
    found = Blueprint.from_json(blueprint.to_json())
    assert found == blueprint
    assert hash(found) == hash(blueprint)
    assert blueprint.difference(found) == ""


def test_a_difference_is_told_with_both_values() -> None:
    other = dataclasses.replace(BLUEPRINT, seed=4, engine="xyz")
    assert BLUEPRINT.difference(other) == "seed 4, not 3, another denoiser"


@pytest.mark.parametrize(("seed", "said"), [(-1, "got -1"), (2**64, "2^64")])
def test_seeds_out_of_range_are_refused(seed: int, said: str) -> None:
    with pytest.raises(VolumeError, match="seed must be 0 to") as error:
        dataclasses.replace(BLUEPRINT, seed=seed)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_an_order_that_does_not_exist_is_refused() -> None:
    with pytest.raises(VolumeError, match="isotropic, anisotropic; got 'random'"):
        dataclasses.replace(BLUEPRINT, order="random")  # type: ignore[arg-type]


def test_what_computes_is_named_without_lanes_and_on_the_cpu_without_the_batch() -> None:
    info = EngineInfo(Path("a"), "abc", "OpenVINO 1", "cpu", "f32", 2, 3)
    assert name_computed(info) == name_computed(dataclasses.replace(info, lanes=5, batch=6)) == BLUEPRINT.computed
    card = dataclasses.replace(info, device="cuda")
    assert name_computed(card) == name_computed(dataclasses.replace(card, lanes=5))
    assert name_computed(card) != name_computed(dataclasses.replace(card, batch=6))


def test_masks_of_the_same_bytes_and_another_shape_have_other_hashes() -> None:
    mask = np.ones((2, 3, 4), bool)
    assert len({hash_mask(mask), hash_mask(mask.reshape(4, 3, 2)), hash_mask(~mask)}) == 3
