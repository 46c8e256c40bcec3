"""What orientations mean, by orix: colour keys, boundaries between grains, and pole figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import microrun.kernels.compiling  # noqa: F401 (before what orix compiles)
from microrun.runtime.array_types import Float64
from microrun.runtime.maps.orientations import OrientedMap, colour_orientations, measure_pair_angles, point_group
from microrun.runtime.pictures.panels import MOST_SIDE
from microrun.runtime.scans.lattice import Pairs, neighbour_pairs
from microrun.runtime.scans.scan import Scan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOW_DEG, HIGH_DEG = 2.0, 15.0  # boundaries of subgrains begin at the first, of grains at the second
POLES = 5_000  # orientations that are drawn, at most
CUBIC, HEXAGONAL = ((1, 0, 0), (1, 1, 0), (1, 1, 1)), ((0, 0, 1), (1, 0, 0), (1, 1, 0))
OTHER = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def draw_colour_key(figure: Figure, axis: Axes, symmetry: str, title: str) -> None:
    """Put the key of inverse pole figure colours in the place of a panel.

    Parameters
    ----------
    figure, axis
        From `make_panels`; the panel goes.
    symmetry
        As `point_group` takes it.
    title
        What stands above.
    """
    import orix.plot  # noqa: F401, whose import makes the projection known

    place = axis.get_position()
    axis.remove()
    inner = (place.x0 + 0.14 * place.width, place.y0 + 0.12 * place.height, 0.72 * place.width, 0.72 * place.height)
    key: Any = figure.add_axes(inner, projection="ipf", symmetry=point_group(symmetry))
    key.plot_ipf_color_key(show_title=False)
    heights = [text.get_position()[1] for text in key.texts]
    for text, up in zip(key.texts, heights, strict=True):  # beside the triangle, not on its corners
        text.set(fontsize=8, va="bottom" if up > np.mean(heights) else "top")
    high = figure.get_size_inches()[1]
    figure.text(place.x0, place.y1 + 4 / 72 / high, title, fontsize=9, va="bottom")


def draw_boundaries(axis: Axes, scan: Scan, found: OrientedMap) -> None:
    """Draw lines between points whose orientations differ.

    Parameters
    ----------
    axis
        With the map drawn.
    scan
        Geometry.
    found
        Orientations and phases. Neighbours of two phases are apart; beside points without any there is no line, nor in
        maps that have more points along a side than a panel has pixels.
    """
    from matplotlib.collections import LineCollection

    if max(scan.nav_shape) > MOST_SIDE:  # lines would hide all that is between them
        return
    pairs = neighbour_pairs(scan)
    phases = found.phase.ravel()[pairs]
    pairs = pairs[(phases >= 0).all(axis=1)]
    angles = np.full(len(pairs), np.inf)
    for number, symmetry in found.symmetries.items():
        inside = found.phase == number
        angles = np.minimum(angles, measure_pair_angles(found.rotations, inside, symmetry, pairs))
    for least, most, colour, width in ((LOW_DEG, HIGH_DEG, "tab:red", 0.5), (HIGH_DEG, np.inf, "black", 0.9)):
        chosen = pairs[(angles >= least) & ((angles < most) | np.isinf(most))]
        lines = LineCollection(_shared_edges(scan, chosen), colors=colour, linewidths=width, rasterized=True)  # type: ignore[arg-type]
        axis.add_collection(lines, autolim=False)


def draw_poles(found: OrientedMap, heading: str) -> Figure:
    """Draw pole figures of each phase: where its crystals' axes point to in the sample.

    Parameters
    ----------
    found
        Orientations and phases.
    heading
        What is shown.
    """
    import orix.plot  # noqa: F401
    from matplotlib.figure import Figure

    phases = {number: name for number, name in found.symmetries.items() if (found.phase == number).any()}
    figure = Figure((9.6, 3.5 * max(1, len(phases)) + 0.4))
    for row, (number, symmetry) in enumerate(phases.items()):
        _draw_row(figure, found, (row, max(1, len(phases))), number, symmetry)
    said = "Upper hemisphere, stereographic, X to the right and Y up. Colours are those along Z, the sample's normal."
    figure.suptitle(heading, x=0.02, ha="left", fontsize=10, weight="bold")
    figure.text(0.02, 0.01, said, fontsize=8, color="0.3")
    return figure


def _draw_row(figure: Figure, found: OrientedMap, place: tuple[int, int], number: int, symmetry: str) -> None:
    from diffpy.structure import Lattice, Structure
    from orix.crystal_map import Phase
    from orix.quaternion import Orientation
    from orix.vector import Miller, Vector3d

    row, rows = place
    inside = found.phase == number
    places = np.flatnonzero(inside)
    chosen = places[:: -(-len(places) // POLES)]
    group = point_group(symmetry)
    angle = 120 if group.system in ("hexagonal", "trigonal") else 90  # lengths do not turn the poles of these families
    lattice = Structure(lattice=Lattice(1, 1, 1, 90, 90, angle))
    turned = Orientation(found.rotations.reshape(-1, 4)[chosen], symmetry=group)
    colours = colour_orientations(turned.data, np.ones(len(chosen), bool), symmetry)
    for column, family in enumerate(_families(group.system)):
        axis: Any = figure.add_subplot(rows, 3, row * 3 + column + 1, projection="stereographic")
        poles = Miller(hkl=[family], phase=Phase(point_group=group, structure=lattice)).symmetrise(unique=True)
        directions = (~turned).outer(poles).data
        axis.scatter(Vector3d(directions.reshape(-1, 3)), c=np.repeat(colours, poles.size, axis=0), s=3, lw=0)
        axis.set_labels("X", "Y", None)
        of = f"{name_symmetry(symmetry)}: " if column == 0 else ""
        axis.set_title(f"{of}{{{''.join(map(str, family))}}}", fontsize=9, pad=14)


def name_symmetry(symmetry: str) -> str:
    """Name of a symmetry for people: EDAX's numbers of point groups become Laue groups.

    Parameters
    ----------
    symmetry
        As `point_group` takes it.
    """
    return str(point_group(symmetry).name) if symmetry.isdigit() else symmetry


def _families(system: str) -> tuple[tuple[int, int, int], ...]:
    return {"cubic": CUBIC, "hexagonal": HEXAGONAL, "trigonal": HEXAGONAL}.get(system, OTHER)


def _shared_edges(scan: Scan, pairs: Pairs) -> NDArray[np.float64]:
    """Ends of the edge that two neighbours share, (n, 2, 2) in µm: of squares, on a hexagonal grid of shifted ones."""
    step_x, step_y = scan.spacing
    rows, cols = np.divmod(pairs, scan.nav_shape[1])
    shifted = (rows % 2 == (0 if scan.first_shifted else 1)) & (scan.grid == "hexagonal")
    left, top = (cols + 0.5 * shifted) * step_x, rows * step_y
    start: Float64 = np.stack([left.max(axis=1), top.max(axis=1)], axis=1)
    end = np.stack([left.min(axis=1) + step_x, top.min(axis=1) + step_y], axis=1)
    return np.stack([start, end], axis=1)


def symmetries_of(found: OrientedMap | None) -> Mapping[int, str]:
    """Symmetries of the phases that the map holds points of."""
    return {} if found is None else {n: name for n, name in found.symmetries.items() if (found.phase == n).any()}
