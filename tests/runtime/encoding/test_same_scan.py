"""A run goes on with its own scan only, and says which mean it keeps."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from encode_runs import COUNT, HEADER, NAV_SHAPE, EndedError, assert_same, contents, engine, run, stopping
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from write_up2 import write_up

from microrun.runtime.encoding.encode_scan import EncodeRequest
from microrun.runtime.errors import LatentsError
from microrun.runtime.latents.probes import PROBES, probe_numbers
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.latents.same_scan import check_same_scan
from microrun.runtime.scans.up2 import ScanWarning
from microrun.runtime.scans.up_source import FileSource


@given(st.integers(1, 10**9))
def test_probes_reach_from_the_first_pattern_to_the_last(total: int) -> None:
    numbers = probe_numbers(total)
    assert numbers[0] == 0 and numbers[-1] == total - 1
    assert len(numbers) == min(total, PROBES) and (np.diff(numbers) > 0).all()
    assert np.diff(numbers).max(initial=1) <= (total - 1) / (PROBES - 1) + 1


@pytest.mark.parametrize("shared", [1, 30, 100])
def test_a_scan_that_begins_alike_is_another_scan(
    scan: Path, tmp_path: Path, patterns: NDArray[Any], shared: int
) -> None:
    out = tmp_path / "out.h5"
    with pytest.raises(EndedError):
        run(EncodeRequest(scan, out, background="none"), engine(), stopping(shared + 20))
    before = contents(out)
    other = write_up(tmp_path / "other.up2", np.concatenate([patterns[:shared], patterns[shared:][::-1]]), HEADER)
    with pytest.raises(LatentsError, match=r"is of another scan than .*other\.up2: pattern \d+ was another") as error:
        run(EncodeRequest(other, out, background="none", resume=True), engine())
    assert "\n" not in str(error.value)
    assert_array_equal(contents(out)["latents"], before["latents"])
    run(EncodeRequest(scan, out, background="none", resume=True), engine())
    run(EncodeRequest(scan, tmp_path / "whole.h5", background="none"), engine())
    assert_same(out, tmp_path / "whole.h5")


def test_hashes_of_patterns_are_added_as_a_scan_grows(tmp_path: Path, patterns: NDArray[Any]) -> None:
    growing, out = tmp_path / "growing.up2", tmp_path / "out.h5"
    numbers = probe_numbers(COUNT)
    for there in (100, COUNT):
        write_up(growing, patterns[:there], HEADER)
        run(EncodeRequest(growing, out, follow=True, idle_timeout_s=0.1, resume=True), engine())
        with open_latents(out) as latents:
            known = latents.probes.any(axis=1)
            assert_array_equal(known, numbers < there)
            for number, probe in zip(numbers[known], latents.probes[known], strict=True):
                assert probe.tobytes() == hashlib.sha256(patterns[number].tobytes()).digest()


def test_patterns_of_one_value_tell_nothing_of_a_scan(tmp_path: Path, patterns: NDArray[Any]) -> None:
    blanked = patterns.copy()
    blanked[50:80] = 0
    scan, out = write_up(tmp_path / "scan.up2", blanked, HEADER), tmp_path / "out.h5"
    run(EncodeRequest(scan, out, background="none"), engine())
    numbers = probe_numbers(COUNT)
    with open_latents(out) as latents:
        assert_array_equal(~latents.probes.any(axis=1), (numbers >= 50) & (numbers < 80))
    filled = write_up(tmp_path / "scan.up2", patterns, HEADER)
    with open_latents(out) as latents:
        check_same_scan(latents, FileSource(filled))


def test_a_map_of_another_shape_is_another_scan(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run(EncodeRequest(scan, out), engine())
    with open_latents(out) as latents, pytest.raises(LatentsError, match=r"is of a map of 10×16; .* has 16×10"):
        check_same_scan(latents, FileSource(scan, NAV_SHAPE[::-1]))


def test_files_of_versions_without_hashes_are_gone_on_with(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    with pytest.raises(EndedError):
        run(EncodeRequest(scan, out), engine(), stopping(50))
    with h5py.File(out, "r+") as file:
        del file["probes"]
    run(EncodeRequest(scan, out, resume=True), engine())
    run(EncodeRequest(scan, tmp_path / "whole.h5"), engine())
    assert_same(out, tmp_path / "whole.h5")


def test_a_resumed_run_says_that_it_keeps_the_mean_of_what_there_was(tmp_path: Path, patterns: NDArray[Any]) -> None:
    scan, out = tmp_path / "scan.up2", tmp_path / "out.h5"
    write_up(scan, patterns[:60], HEADER)
    with pytest.warns(ScanWarning, match="holds 60 of the 160"):
        run(EncodeRequest(scan, out), engine())
    mean = contents(out)["background"]
    write_up(scan, patterns, HEADER)
    for _ in range(2):  # also the next time
        with pytest.warns(ScanWarning, match=r"keeps its background, the mean of 60 patterns; there are 160 now"):
            run(EncodeRequest(scan, out, resume=True), engine())
        assert_array_equal(contents(out)["background"], mean)
    assert contents(out)["written"].all()


def test_a_resumed_run_of_the_whole_scan_says_nothing_of_its_mean(scan: Path, tmp_path: Path) -> None:
    request = EncodeRequest(scan, tmp_path / "out.h5")
    with pytest.raises(EndedError):
        run(request, engine(), stopping(50))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ScanWarning)
        run(dataclasses.replace(request, resume=True), engine())
