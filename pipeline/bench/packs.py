"""Measure everything in one call: plain diffusers, a pack of each kind against its target, and the table."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

from pipeline.bench.clock import BenchReport
from pipeline.bench.instantid import begin, measure_pack, per_minute, selected
from pipeline.bench.plain import measure_reference
from pipeline.bench.setup import Options, build_engine
from pipeline.bench.table import BUILT_IN, Row, free_memory, measure_table
from pipeline.diffusion.optimizations import Optimization, capability_fault
from pipeline.engines.instantid.networks.flops import PictureFlops

# Number of pictures in the pack that targets are stated for.
PACK = 50


@dataclass(frozen=True)
class PackKind:
    """A set of optimizations that is measured with a whole pack.

    Attributes:
        name: name of the kind.
        added: optimizations in addition to those of the options.
        target_seconds: goal for PACK pictures of 896 × 1152, enlarged four times, on an H100.
    """

    name: str
    added: frozenset[Optimization]
    target_seconds: int


# The two kinds that share networks are adjacent.
PACK_KINDS = (
    PackKind("lossless", frozenset(), 110),
    PackKind("lossy", frozenset({Optimization.FP8, Optimization.GUIDANCE_CUTOFF, Optimization.CONTROL_CUTOFF}), 60),
    PackKind("few_step", frozenset({Optimization.FP8, Optimization.FEW_STEP}), 20),
)


@dataclass(frozen=True)
class Everything:
    """The results of `measure_everything`.

    Attributes:
        head: device, versions and options.
        reference: plain diffusers.
        packs: one report per kind of pack.
        rows: table of optimizations.
    """

    head: BenchReport
    reference: BenchReport
    packs: list[BenchReport]
    rows: list[Row]

    def as_json(self) -> BenchReport:
        rows = [asdict(row) for row in self.rows]
        return {**self.head, "reference": self.reference, "packs": self.packs, "table": rows}


def measure_everything(options: Options, echo: Callable[[str], None]) -> Everything:
    """Measure plain diffusers, a pack of each kind, and the table of optimizations.

    `echo` receives each result as soon as it is known."""
    head, flops = begin(options, echo)
    reference = measure_reference(options, flops)
    echo(f"reference: {float(str(reference['seconds_per_picture'])):.2f} s per picture")
    packs = measure_packs(options, flops, echo)
    for pack in packs:
        if "failed" not in pack:
            pack["times_reference"] = round(per_minute(pack) / per_minute(reference), 2)
    return Everything(head, reference, packs, measure_table(options, echo))


def measure_packs(options: Options, flops: PictureFlops, echo: Callable[[str], None]) -> list[BenchReport]:
    """Measure a pack of each kind. A kind that fails is reported with its error."""
    reports: list[BenchReport] = []
    engine, built = None, None
    for kind in PACK_KINDS:
        optimizations = selected(options) | supported(kind.added, options.device)
        report: BenchReport = {"kind": kind.name, "target_seconds": kind.target_seconds}
        echo(f"a pack, {kind.name}")
        try:
            if engine is None or optimizations & BUILT_IN != built:
                engine = None
                free_memory(options.device)
                engine, built = build_engine(options, optimizations), optimizations & BUILT_IN
            report |= measure_pack(options, optimizations, engine, flops, echo)
        except RuntimeError as error:
            # Continue with the other kinds if memory runs out, or if torch cannot compile here.
            report["failed"] = str(error).strip().splitlines()[0]
            echo(f"{kind.name} failed: {report['failed']}")
            engine = None
        else:
            report["pack_seconds"] = round(60 * PACK / per_minute(report), 1)
            echo(f"{kind.name}: {report['pack_seconds']} s for {PACK} pictures (H100: {kind.target_seconds} s)")
        reports.append(report)
    # The table needs the memory.
    engine = None
    free_memory(options.device)
    return reports


def supported(optimizations: frozenset[Optimization], device: str) -> frozenset[Optimization]:
    """Return the optimizations without fp8, if the GPU does not support it."""
    if device == "cpu":
        return optimizations
    card = torch.cuda.get_device_properties(device)
    fault = capability_fault(optimizations, card.name, (card.major, card.minor))
    return optimizations - {Optimization.FP8} if fault else optimizations


def packs_as_markdown(everything: Everything) -> str:
    """Return the reference and the packs as Markdown, in seconds per PACK pictures and stage."""
    rows = [{"kind": "reference", **everything.reference}, *everything.packs]
    stages = list(dict.fromkeys(name for row in rows for name in stages_of(row)))
    titles = ["pack", f"seconds per {PACK}", "target, H100", *stages, "batch", "warm-up (s)", "peak memory (GB)"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in rows:
        each = PACK / float(str(row.get("images", PACK)))
        seconds = {name: round(each * spent, 1) for name, spent in stages_of(row).items()}
        total = round(each * float(str(row["seconds"])), 1) if "seconds" in row else None
        values = [row["kind"], total, row.get("target_seconds"), *map(seconds.get, stages)]
        values += [row.get(name) for name in ("batch", "warm_up_seconds", "peak_gigabytes")]
        lines.append(f"| {' | '.join('–' if value is None else str(value) for value in values)} |")
    return "\n".join(lines)


def stages_of(report: BenchReport) -> dict[str, float]:
    stages = report.get("stages_seconds", {})
    assert isinstance(stages, dict)
    return stages
