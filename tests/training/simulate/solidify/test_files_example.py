"""The example of docs/solidification-files.md, as it stands there."""

import runpy
from pathlib import Path

import h5py

EXAMPLE = Path(__file__).parents[4] / "docs" / "examples" / "solidify_file.py"


def test_example(tmp_path, capsys):
    part, again = runpy.run_path(str(EXAMPLE))["main"](tmp_path)
    assert "half a pool: mirrored" in capsys.readouterr().out
    assert part.field.kind == "file"
    assert again.field.kind == "history"
    assert again.plan.cell_um == 3.0
    for name, made in (("part.h5", part), ("again.h5", again)):
        assert made.tally.molten > 0
        assert made.tally.unsolidified < 0.05 * made.tally.molten
        with h5py.File(tmp_path / name) as file:
            assert file["grain_id"].shape == made.grains.orientation.shape
