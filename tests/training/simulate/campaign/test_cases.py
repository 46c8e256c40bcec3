import numpy as np
import pytest
from scipy.stats import qmc

from microrun.runtime.errors import MicrorunError
from microrun.training.simulate.campaign.cases import Case, read_cases, spread_cases


def test_cases_are_spread_over_the_window_better_than_by_chance():
    cases = spread_cases(32)
    points = np.array([((case.power_w - 100) / 100, (case.speed_m_s - 0.5) / 0.5) for case in cases])
    assert points.min() >= 0
    assert points.max() <= 1
    by_chance = [qmc.discrepancy(np.random.default_rng(seed).random((32, 2))) for seed in range(20)]
    assert qmc.discrepancy(points) < min(by_chance)


def test_more_cases_only_add_to_fewer():
    assert spread_cases(40)[:24] == spread_cases(24)
    assert spread_cases(5, seed=1) != spread_cases(5)


def test_a_table_of_cases(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("name,power_w,speed_m_s\na,150,0.9\nb,200.5,1\n")
    assert read_cases(path) == [Case(0, 150.0, 0.9), Case(1, 200.5, 1.0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "contains no case"), ("power_w,speed_m_s\n", "contains no case"),
        ("power,speed\n1,2\n", "got power, speed"),
        ("power_w;speed_m_s\n150,5;0,9\n", "with commas between; got power_w;speed_m_s"),
        ("power_w,speed_m_s,power_w\n150,1,160\n", "names each of the columns power_w,speed_m_s once"),
        ("power_w,speed_m_s\n150,1\n\n150,0,9\n", "line 4: has not 2 values.*decimals take a point"),
        ("power_w,speed_m_s\n150\n", "line 2: has not 2 values"), ("a,power_w,speed_m_s\n,150\n", "not 3 values"),
        ("power_w,speed_m_s\n150,fast\n", "is not a number"), ('power_w,speed_m_s\n150,"0,9"\n', "is not a number"),
        ("power_w,speed_m_s\n0,1\n", "power must be above 0"), ("power_w,speed_m_s\n150,-1\n", "speed must be above 0"),
        ("power_w,speed_m_s\nnan,1\n", "power must be above 0"),
    ],
)  # fmt: skip
def test_tables_that_make_no_sense_are_refused(tmp_path, text, said):
    path = tmp_path / "cases.csv"
    path.write_text(text)
    with pytest.raises(MicrorunError, match=said) as error:
        read_cases(path)
    assert str(path) in str(error.value)


def test_a_table_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(MicrorunError, match="cannot be read"):
        read_cases(path)
    with pytest.raises(MicrorunError, match="cannot be read"):
        read_cases(tmp_path / "none.csv")


@pytest.mark.parametrize("count", [0, -3, 1 << 21])
def test_no_cases_or_too_many_are_refused(count):
    with pytest.raises(MicrorunError, match="1 to 1,048,576"):
        spread_cases(count)
