"""Report which engines can run here, on what, what is missing, and the license of each weight. Changes nothing."""

import os
import sys
from dataclasses import dataclass

from pipeline.engines import EngineName, EngineStatus, choose_engine, engine_status
from pipeline.engines.instantid.options import CHECKPOINTS_GROUP, PARTS_GROUP, InstantIDOptions, needed_weights
from pipeline.errors import EngineUnavailable
from pipeline.weights import STUDIO, Weights
from pipeline.weights.catalog import Weight


@dataclass(frozen=True)
class EngineReport:
    """The state of all engines and weights.

    Attributes:
        chosen: name of the engine that would be used.
        weights: every weight, with one sentence about its problem or None.
        fix: command that fetches broken weights, or empty.
    """

    engines: tuple[EngineStatus, ...]
    chosen: str
    weights: tuple[tuple[Weight, str | None], ...]
    directory: str
    fix: str

    @property
    def ready(self) -> bool:
        """Return True if the engine that would be used can run."""
        return any(engine.ready for engine in self.engines if engine.name == self.chosen)

    def as_json(self) -> dict[str, object]:
        """Return the report as plain values for JSON."""
        return {
            "engines": [
                {"name": each.name, "ready": each.ready, "missing": each.missing, "notes": each.notes}
                for each in self.engines
            ],
            "chosen": self.chosen,
            "weights_directory": self.directory,
            "weights": [_weight_as_json(weight, problem) for weight, problem in self.weights],
        }

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = ["engines"]
        for engine in self.engines:
            chosen = " (selected)" if engine.name == self.chosen else ""
            lines.append(f"  {engine.name}: {'ready' if engine.ready else 'cannot run'}{chosen}")
            lines += [f"    {sentence}" for sentence in (*engine.notes, *engine.missing)]
        lines.append(f"weights in {self.directory}")
        lines += [_weight_line(weight, problem) for weight, problem in self.weights]
        return [*lines, f"fix: {self.fix}"] if self.fix else lines


def examine(weights: Weights, options: InstantIDOptions, engine: EngineName = "auto") -> EngineReport:
    """Examine all engines and weights.

    Hashes the weights that engines need here, and other weights if they are present. Loads InstantID's networks if it
    was installed or is asked for."""
    chosen = choose_engine(weights) if engine == "auto" else engine
    engines = tuple(engine_status(weights, options, instantid_wanted=engine == "instantid"))
    concerned = set(weights.catalog.groups.get(STUDIO, ()))
    if chosen == "instantid" or weights.is_installed(PARTS_GROUP):
        try:
            concerned |= set(needed_weights(weights, options))
        except (EngineUnavailable, ValueError):
            concerned |= set(weights.catalog.groups[PARTS_GROUP])
    # Weights that no engine needs here are only hashed if they are present.
    found = tuple(
        (weight, weights.problem(name) if name in concerned or weights.is_there(name) else _not_here(name, weights))
        for name, weight in weights.catalog.weights.items()
    )
    broken = [weight.name for weight, problem in found if problem and weight.name in concerned]
    return EngineReport(
        engines, chosen, found, str(weights.directory), weights.fetch_command_for(*broken) if broken else ""
    )


def _not_here(name: str, weights: Weights) -> str:
    kind = "is another checkpoint" if name in weights.catalog.groups.get(CHECKPOINTS_GROUP, ()) else "is not needed"
    return f"The weight {name} {kind} and was not fetched."


def _weight_as_json(weight: Weight, problem: str | None) -> dict[str, object]:
    return {
        "name": weight.name,
        "file": weight.place,
        "bytes": weight.bytes,
        "license": weight.license,
        "business": weight.business,
        "source": weight.source,
        "purpose": weight.purpose,
        "problem": problem,
    }


def _weight_line(weight: Weight, problem: str | None) -> str:
    words = {"was not fetched": "not fetched", "is missing": "missing"}
    state = next((word for said, word in words.items() if said in (problem or "")), "damaged" if problem else "ok")
    size = "" if weight.bytes is None else f"{weight.bytes / 1e6:,.1f} MB"
    terms = weight.license if weight.business else f"{weight.license}, not for commercial use"
    return f"  {weight.name:20} {state:12} {size:>10}  {terms}  {weight.source}: {weight.purpose}"


@dataclass(frozen=True)
class DeviceState:
    """A device's name and, for a GPU, its memory in bytes."""

    name: str
    used_bytes: int | None = None
    total_bytes: int | None = None


def get_device_state(device: str) -> DeviceState:
    """Return the state of a device in torch's spelling: "cpu", "cuda", "cuda:1"."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(device)
        return DeviceState(torch.cuda.get_device_name(device), total - free, total)
    return DeviceState(f"{os.cpu_count()} processor cores")
