"""`microrun doctor`: what it says of this machine, of machines with cards, of broken ones, and of plans."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from command_line import Microrun, Ran, check_refused, finish, run_here, start
from fake_cuda_engine import clean_card
from fake_tensorrt import LINEAR, FakePlan, FakeTensorrt

from microrun.cli.doctor import engines as _doctor_engines
from microrun.cli.doctor import machine as _doctor_machine
from microrun.cli.doctor.engines import ONNX_CUDA, Outcome, engine_problems
from microrun.cli.doctor.machine import (
    EXTRAS,
    Machine,
    card_rows,
    find_problems,
    find_version,
    inspect_machine,
    package_rows,
)
from microrun.runtime.engines.catalogue import find_model
from microrun.runtime.engines.known_answers import check_inputs, sample_outputs
from microrun.runtime.engines.nvidia import tensorrt_plan
from microrun.runtime.engines.nvidia.build_plan import BuildRequest, build_plan
from microrun.runtime.engines.nvidia.cuda import Card
from microrun.runtime.engines.nvidia.plan import PlanRecord, Profile, read_record, sidecar_of, write_record
from microrun.runtime.errors import EngineError
from microrun.runtime.files.extras import install_command
from microrun.runtime.files.hashes import hash_file

ROOT = Path(__file__).parents[3]
A4000 = Card(0, "NVIDIA RTX A4000", (8, 6), 16 * 10**9, 15 * 10**9)
H200 = Card(0, "NVIDIA H200", (9, 0), 150 * 10**9, 149 * 10**9)
NO_LIBRARY = "libnvinfer.so.11: cannot open shared object file"
with_rtx = pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed")
without_tensorrt = pytest.mark.skipif(find_version("tensorrt") is not None, reason="TensorRT is installed")
without_card = pytest.mark.skipif(bool(inspect_machine().cards), reason="there is a card here")


@pytest.fixture
def microrun(capsys: pytest.CaptureFixture[str]) -> Microrun:
    return lambda *arguments: run_here(capsys, *arguments)


@pytest.fixture
def insert(monkeypatch: pytest.MonkeyPatch) -> Callable[[Card], None]:
    """Show a card to the doctor; nobody else sees it, so that nothing is run on it."""

    def show(card: Card) -> None:
        monkeypatch.setattr(_doctor_machine, "driver_version", lambda: "13.1")
        monkeypatch.setattr(_doctor_machine, "find_cards", lambda: [card])

    return show


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorrt_rtx")
    path = tmp_path_factory.mktemp("plans") / "vae32.plan"
    build_plan(find_model("vae32"), path, BuildRequest("tensorrt_rtx", batch=16))
    return path


@pytest.fixture
def plan(built: Path, tmp_path: Path) -> Path:
    """A plan of its own for every test."""
    for path in (built, sidecar_of(built)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / built.name


def section(ran: Ran, title: str) -> str:
    """What stands under a title, without its layout."""
    blocks = [block.strip().partition("\n") for block in ran.out.split("\n\n")]
    return next(" ".join(text.split()) for head, _, text in blocks if head.strip() == title)


def problems(ran: Ran) -> list[str]:
    return [line.removeprefix("problem: ") for line in ran.err.splitlines() if line.startswith("problem: ")]


def break_module(folder: Path, name: str, error: str) -> None:
    """A module whose import fails, in front of what may be installed."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(f"raise {error}\n")


# --- this machine


def test_it_tries_the_engines(microrun: Microrun) -> None:
    ran = microrun("doctor")
    assert (ran.code, ran.err) == (0, "")
    engines = section(ran, "engines")
    for part in ("OpenVINO, cpu, f32 runs (OpenVINO 20", "ONNX Runtime, cpu runs (ONNX Runtime 1."):
        assert part in engines
    for part in ("system", "python", "cores", "microrun"):
        assert part in section(ran, "machine")
    assert "base numpy" in section(ran, "packages by extra")
    assert "nothing clashes" in ran.said


@with_rtx
@without_card
def test_without_a_card_plans_are_built_only(microrun: Microrun) -> None:
    ran = microrun("doctor")
    assert "TensorRT-RTX builds plans here (TensorRT-RTX 1." in section(ran, "engines")
    assert section(ran, "engines").endswith("runs them on machines with an RTX card")
    assert "NVIDIA card none seen:" in section(ran, "machine")


def test_packages_are_listed_under_their_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"base": project["dependencies"], **project["optional-dependencies"]}
    assert set(EXTRAS) == set(wanted) - {"docs", "test"}  # whoever builds the documents, or tests, is no user
    for extra, packages in EXTRAS.items():
        for package in packages:
            assert any(requirement.startswith(package) for requirement in wanted[extra]), (extra, package)


def test_extras_say_what_is_missing() -> None:
    rows = package_rows(Machine({"cuda-bindings": "13.5.0", "openvino": "2026.4", "onnxruntime": "1.31"}))
    assert rows["cpu"] == "openvino 2026.4, onnxruntime 1.31"
    assert rows["gpu"] == "cuda-bindings 13.5.0; not installed: onnxruntime-gpu"
    assert rows["convert"] == "not installed: rosettasciio, tifffile, zarr"


@without_tensorrt
def test_a_package_is_found_under_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_cu13"):
        folder = tmp_path / name / f"{name}-11.4.0.5.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 11.4.0.5\n")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / name)
            assert find_version("tensorrt") == "11.4.0.5"


@without_tensorrt
def test_a_package_that_is_half_removed_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt-11.4.0.5.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert "tensorrt" not in inspect_machine().installed


# --- machines with cards


def test_a_card_is_described() -> None:
    assert card_rows(Machine({}, (A4000, dataclasses.replace(H200, number=1)), driver="13.1")) == {
        "NVIDIA driver": "for CUDA 13.1 and older",
        "card 0": "NVIDIA RTX A4000, compute capability 8.6, 15.0 GB of 16.0 GB free",
        "card 1": "NVIDIA H200, compute capability 9.0, 149.0 GB of 150.0 GB free",
    }


@with_rtx
@without_card
def test_an_rtx_card_is_really_tried(microrun: Microrun, insert: Callable[[Card], None]) -> None:
    insert(A4000)
    ran = microrun("doctor")
    assert "card 0 NVIDIA RTX A4000, compute capability 8.6" in section(ran, "machine")
    assert "TensorRT-RTX does not run: CUDA finds no card here" in section(ran, "engines")  # its engine sees none


@with_rtx
def test_another_card_is_no_rtx_card(microrun: Microrun, insert: Callable[[Card], None]) -> None:
    insert(H200)
    assert section(microrun("doctor"), "engines").endswith("runs them on RTX cards, which NVIDIA H200 (9.0) is not")


@with_rtx
def test_turing_is_built_for_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def build(onnx: Path, out: Path, request: BuildRequest) -> PlanRecord:
        requests.append(request)
        return build_plan(onnx, out, request)

    monkeypatch.setattr(_doctor_engines, "build_plan", build)
    for capability in ((7, 5), (8, 6)):
        _doctor_engines.try_engines(Machine({}, (dataclasses.replace(A4000, compute_capability=capability),)))
    asked = [request.compute_capabilities for request in requests if request.library == "tensorrt_rtx"]
    assert asked == [("7.5",), ()]


# --- what does not go together


def test_a_sound_machine_has_no_problems() -> None:
    packages = {"onnxruntime-gpu": "1.31.1", "cuda-bindings": "13.5.0"}
    machine = Machine(packages, (A4000,), driver="13.0", onnxruntime_cuda="13.0")
    assert find_problems(machine) == []  # a driver for 13.0 does for all of 13
    assert engine_problems({ONNX_CUDA: Outcome(True, "runs")}, machine) == []


def test_two_onnx_runtimes_are_one_too_many(microrun: Microrun, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}
    monkeypatch.setattr(_doctor_machine, "find_version", both.get)
    ran = microrun("doctor")
    assert ran.code == 0
    assert problems(ran)[0].startswith("onnxruntime and onnxruntime-gpu overwrite each other: pip uninstall")
    assert "nothing clashes" not in ran.said


@pytest.mark.parametrize(
    "machine",
    [
        Machine({"cuda-bindings": "13.5.0"}, driver="12.4"),
        Machine({"onnxruntime-gpu": "1.31.1"}, driver="12.4", onnxruntime_cuda="13.0"),
    ],
    ids=lambda machine: next(iter(machine.installed)),
)
def test_a_driver_can_be_too_old(machine: Machine) -> None:
    (problem,) = find_problems(machine)
    name = next(iter(machine.installed))
    assert problem == f"{name} is for CUDA 13, and the driver for CUDA 12.4 and older: update the driver"
    assert find_problems(dataclasses.replace(machine, cards=(A4000,), driver="13.0")) == []


def test_versions_that_are_no_numbers_are_no_problem() -> None:
    assert find_problems(Machine({"cuda-bindings": "unknown"}, (A4000,), driver="13.0", onnxruntime_cuda="none")) == []


def test_an_onnx_runtime_for_cards_wants_a_card() -> None:
    machine = Machine({"onnxruntime-gpu": "1.31.1"}, no_cards="NVIDIA's driver is not installed")
    said = "onnxruntime-gpu is installed, but no card is seen: NVIDIA's driver is not installed"
    assert find_problems(machine) == [said]
    engines = {"OpenVINO": Outcome(True, "runs"), ONNX_CUDA: Outcome(False, "does not run: CUDA finds no card here")}
    assert engine_problems(engines, machine) == []  # once is enough


def test_a_card_that_onnx_runtime_cannot_use() -> None:
    machine = Machine({"onnxruntime-gpu": "1.31.1"}, (A4000,), driver="13.0", onnxruntime_cuda="13.0")
    engines = {"OpenVINO": Outcome(True, "runs"), ONNX_CUDA: Outcome(False, "does not run: libcudnn is missing")}
    (problem,) = engine_problems(engines, machine)
    assert "cannot use the card" in problem and install_command("gpu") in problem
    overwritten = dataclasses.replace(machine, installed={**machine.installed, "onnxruntime": "1.31.1"})
    assert engine_problems(engines, overwritten) == []  # that there are two says why


@without_tensorrt
def test_bindings_without_the_library_behind_them(
    microrun: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_module(tmp_path, "tensorrt", f"OSError({NO_LIBRARY!r})")
    monkeypatch.syspath_prepend(tmp_path)
    ran = microrun("doctor")
    said = f"TensorRT's Python bindings are installed, but not the library behind them ({NO_LIBRARY})"
    assert ran.code == 0 and f"TensorRT does not run: {said}" in section(ran, "engines")
    assert len(problems(ran)) == 1 and problems(ran)[0].startswith(said)
    assert install_command("tensorrt") in problems(ran)[0]


@pytest.mark.parametrize("error", ["ImportError()", "KeyError('__version__')", "Exception('a' * 9 + '\\n' + 'b')"])
def test_nothing_that_is_broken_breaks_the_doctor(tmp_path: Path, error: str) -> None:
    for name in ("openvino", "onnxruntime", "tensorrt", "tensorrt_rtx", "cuda"):
        break_module(tmp_path, name, error)
    ran = finish(start("doctor", setup=f"import sys; sys.path.insert(0, {str(tmp_path)!r})"))
    assert ran.code == 0 and "Traceback" not in ran.err
    assert section(ran, "engines").count("does not run: ") == 6
    assert "NVIDIA card none seen:" in section(ran, "machine")
    assert len(problems(ran)) == len(ran.err.splitlines()) == 3
    assert f"no engine runs here: {install_command('cpu')}" in problems(ran)


# --- plans


def test_a_plan_is_described(microrun: Microrun, plan: Path) -> None:
    version = read_record(plan).version
    ran = microrun("doctor", plan)
    said = section(ran, "vae32.plan")
    assert (ran.code, ran.err) == (0, "")
    for part in (
        f"vae32.plan.json describes (SHA-256 {hash_file(plan)[:12]}…)",
        "vae32, encoder, D = 32, f16",
        f"TensorRT-RTX {version}; here is {version}",
        "compute capability 8.0, 8.6, 8.9, 12.0+; here is ",
        "1 to 16, fastest at 16",
    ):
        assert part in said


@without_card
def test_a_plan_does_not_run_without_a_card(microrun: Microrun, plan: Path) -> None:
    said = section(microrun("doctor", plan), "vae32.plan")
    assert "12.0+; here is none" in said and "compared not compared with the ONNX model" in said
    assert "here does not run: CUDA finds no card here" in said


def test_a_plan_that_was_changed_is_not_described(microrun: Microrun, plan: Path) -> None:
    plan.write_bytes(plan.read_bytes()[:-1] + b"x")
    said = section(microrun("doctor", plan), "vae32.plan")
    assert said.startswith("here does not run: is not the file that vae32.plan.json describes (SHA-256 ")


def test_a_plan_of_another_version(microrun: Microrun, plan: Path) -> None:
    record = read_record(plan)
    write_record(plan, dataclasses.replace(record, version="1.0.0.1", parity_error=0.00123))
    said = section(microrun("doctor", plan), "vae32.plan")
    assert f"built by TensorRT-RTX 1.0.0.1; here is {record.version}" in said
    assert "its results differ by 0.12 % from those of the ONNX model" in said
    assert "does not run: was built by TensorRT-RTX 1.0.0.1, which alone can run it" in said


@without_tensorrt
def test_a_plan_of_a_library_that_is_not_here(microrun: Microrun, plan: Path, insert: Callable[[Card], None]) -> None:
    insert(A4000)
    write_record(plan, dataclasses.replace(read_record(plan), library="tensorrt"))
    said = section(microrun("doctor", plan), "vae32.plan")
    assert "; here is none cards" in said and "; here is 8.6, NVIDIA RTX A4000" in said
    assert "does not run: TensorRT is not installed" in said


@pytest.mark.parametrize("text", [None, "", "[1]", '{"plan_version": 1}', "\xff"])
def test_a_plan_without_a_sidecar_that_can_be_read(microrun: Microrun, plan: Path, text: str | None) -> None:
    sidecar_of(plan).unlink()
    if text is not None:
        sidecar_of(plan).write_text(text, encoding="latin-1")
    ran = microrun("doctor", plan)
    assert (ran.code, ran.err) == (0, "")
    assert section(ran, "vae32.plan").startswith("here does not run: ")
    assert "vae32.plan.json" in section(ran, "vae32.plan")


def test_several_plans(microrun: Microrun, plan: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.plan"
    other.write_bytes(b"nothing")
    ran = microrun("doctor", plan, other)
    assert "D = 32" in section(ran, "vae32.plan")
    assert "does not run: other.plan.json is missing beside it" in section(ran, "other.plan")


def test_what_is_no_plan_is_refused(microrun: Microrun, tmp_path: Path) -> None:
    check_refused(microrun("doctor", tmp_path / "none.plan"), "none.plan", "no such file")
    check_refused(microrun("doctor", "vae32"), "vae32", "expected a .plan file")


def write_linear(path: Path, **changes: Any) -> None:
    """A plan of the fake TensorRT."""
    path.write_bytes(FakePlan().to_bytes())
    outputs = sample_outputs(FakePlan().compute(check_inputs(LINEAR)))
    record = PlanRecord(
        spec=LINEAR, plan_sha256=hash_file(path), onnx_sha256="0" * 64, library="tensorrt", version="11.4.0.5",
        compute_capabilities=("8.6",), profile=Profile(1, 4, 4), version_compatible=False, build_s=1.0,
        check_outputs=tuple(outputs.tolist()),
    )  # fmt: skip
    write_record(path, dataclasses.replace(record, **changes))


def test_a_plan_runs_on_its_card(
    microrun: Microrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, insert: Callable[[Card], None]
) -> None:
    path = tmp_path / "linear.plan"
    with clean_card() as device:
        trt = FakeTensorrt(device)
        insert(device.card)
        monkeypatch.setattr(tensorrt_plan, "import_library", lambda library: trt)
        monkeypatch.setattr(tensorrt_plan, "Cuda", trt.ask)
        write_linear(path)
        said = section(microrun("doctor", path), "linear.plan")
        assert f"here is {device.card.capability_text}, {device.card.name}" in said
        assert "here runs (TensorRT 11.4.0.5, " in said and "lanes), error " in said
        write_linear(path, compute_capabilities=("9.0",))
        said = section(microrun("doctor", path), "linear.plan")
        assert "does not run: was built for compute capability 9.0; this card" in said


def test_what_a_driver_fails_with_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[Card]:
        raise EngineError("cudaGetDeviceProperties failed")

    monkeypatch.setattr(_doctor_machine, "driver_version", lambda: "13.0")
    monkeypatch.setattr(_doctor_machine, "find_cards", fail)
    expected = {"NVIDIA driver": "for CUDA 13.0 and older", "NVIDIA card": "none seen: cudaGetDeviceProperties failed"}
    assert card_rows(inspect_machine()) == expected
