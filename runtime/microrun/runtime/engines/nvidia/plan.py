"""The sidecar of a TensorRT plan: a plan says nothing about itself, and is code that the card's driver runs."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from microrun.runtime.errors import EngineError, SpecError
from microrun.runtime.files.hashes import hash_file
from microrun.runtime.files.output import write_text
from microrun.runtime.json_text import UNREADABLE, check_fields, parse_object
from microrun.runtime.spec import ModelSpec

Library = Literal["tensorrt", "tensorrt_rtx"]
PLAN_VERSION = 1


@dataclass(frozen=True)
class Profile:
    """Batches that a plan was built for: from min to max, fastest at opt."""

    min: int
    opt: int
    max: int


@dataclass(frozen=True)
class PlanRecord:
    """What NAME.plan.json says of NAME.plan.

    Parameters
    ----------
    spec
        Of the model, with the precision that the plan was really built in.
    plan_sha256, onnx_sha256
        Hashes of the plan and of the .onnx file that it was built from.
    library, version
        That built it; a plan runs with this version only, unless it is `version_compatible`.
    compute_capabilities
        Of the cards that it runs on, such as ("8.6",); "8.0+" means this one and all later ones.
    profile
        Batches.
    version_compatible
        Whether newer versions of the library run it, too.
    build_s
        How long the build took.
    check_outputs
        What the .onnx file computes of `check_inputs`, at `CHECKED` places, to 6 digits: compared whenever the plan
        is opened.
    parity_error
        Relative L2 error of the plan itself against the .onnx file in float32 on the inputs of the check,
        measured after the build; None where the machine that built it had no card to run it on.
    """

    spec: ModelSpec
    plan_sha256: str
    onnx_sha256: str
    library: Library
    version: str
    compute_capabilities: tuple[str, ...]
    profile: Profile
    version_compatible: bool
    build_s: float
    check_outputs: tuple[float, ...]
    parity_error: float | None = None

    def to_json(self) -> str:
        """Encode as JSON for people to read."""
        values = {
            "plan_version": PLAN_VERSION,
            **dataclasses.asdict(self),
            "spec": json.loads(self.spec.to_json()),
            "check_outputs": " ".join(f"{value:.6g}" for value in self.check_outputs),
        }
        return json.dumps(values, indent=1)

    @classmethod
    def from_json(cls, text: str, source: str) -> PlanRecord:
        """Decode what `to_json` made.

        Raises
        ------
        SpecError
            If it is no sidecar of a plan, of another version, or damaged; `source` is the file to name.
        """
        try:
            values = parse_object(text)
            version = values.pop("plan_version")
            if version != PLAN_VERSION:
                raise SpecError(f"{source}: plan version must be {PLAN_VERSION}; got {version}. Build the plan again")
            values["spec"] = ModelSpec.from_json(json.dumps(values["spec"]), source)
            values["profile"] = Profile(**values["profile"])
            values["compute_capabilities"] = tuple(values["compute_capabilities"])
            if not all(re.fullmatch(r"\d+\.\d+\+?", text) for text in values["compute_capabilities"]):
                raise ValueError(f"compute capabilities {values['compute_capabilities']}")
            values["check_outputs"] = tuple(map(float, values["check_outputs"].split()))
            record = cls(**values)
            if record.library not in get_args(Library):
                known = ", ".join(get_args(Library))
                raise SpecError(f"{source}: library must be one of {known}; got {record.library!r}")
            check_fields(record)
            return record
        except SpecError:
            raise
        except UNREADABLE as error:
            raise SpecError(f"{source}: is damaged ({error}); build the plan again") from None


def sidecar_of(plan: Path) -> Path:
    """NAME.plan.json."""
    return plan.with_name(plan.name + ".json")


def write_record(plan: Path, record: PlanRecord) -> None:
    """Write the sidecar of a plan."""
    write_text(sidecar_of(plan), record.to_json() + "\n")


def read_record(plan: Path) -> PlanRecord:
    """Read the sidecar of a plan, and compare the plan with it: a plan is executable code.

    Raises
    ------
    EngineError
        If it is missing, or was written for another file.
    SpecError
        If it is damaged.
    """
    sidecar = sidecar_of(plan)
    try:
        text = sidecar.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EngineError(
            f"{plan}: {sidecar.name} is missing beside it, without which a plan is not run; copy both, or "
            f"{rebuild('tensorrt_rtx (or tensorrt)')}"
        ) from None
    except UnicodeDecodeError:
        raise SpecError(f"{sidecar}: is not text; build the plan again") from None
    except OSError as error:
        raise EngineError(f"{sidecar}: cannot be read ({error.strerror or error})") from None
    record = PlanRecord.from_json(text, str(sidecar))
    found = hash_file(plan)
    if found != record.plan_sha256:
        raise EngineError(
            f"{plan}: is not the file that {sidecar.name} describes (SHA-256 {found[:12]}…, not "
            f"{record.plan_sha256[:12]}…), and is not run; copy both again, or {rebuild(record.library)}"
        )
    return record


def rebuild(library: str) -> str:
    """What to do about a plan that cannot be used."""
    return f"build it again: microrun export NAME.onnx --to {library}, or encode with --engine NAME.onnx --build"
