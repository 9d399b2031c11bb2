"""Measure time per stage, and GPU memory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from pipeline.errors import EngineUnavailable

BenchReport = dict[str, object]


@dataclass
class Clock:
    """A stopwatch that sums the seconds spent in each named stage.

    Synchronizes with the GPU at the start and the end of a stage. Otherwise asynchronous GPU work would be counted for
    a later stage."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def summary(seconds: float, count: int, flops: float, clock: Clock, device: torch.device) -> BenchReport:
    """Return the figures that both benchmarks report.

    Args:
        seconds: duration of the whole run.
        count: number of pictures.
        flops: tera operations per picture.
        clock: seconds per stage.
        device: device that the run used.
    """
    return {
        "images": count,
        "seconds": round(seconds, 2),
        "seconds_per_picture": round(seconds / count, 3),
        "pictures_per_minute": round(60 * count / seconds, 2),
        "stages_seconds": {name: round(spent, 2) for name, spent in clock.seconds.items()},
        "peak_gigabytes": peak_gigabytes(device),
        "tflop_per_picture": round(flops, 4),
        "tflop_per_second": round(flops * count / seconds, 4),
    }


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_gigabytes(device: torch.device) -> float | None:
    """Return the GPU's peak memory since the last reset in GB, or None on the CPU."""
    return round(torch.cuda.max_memory_allocated(device) / 1e9, 2) if device.type == "cuda" else None


def require_device(device: str) -> None:
    """Raise EngineUnavailable if a GPU is requested but not available, or if torch cannot compute on it."""
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        raise EngineUnavailable("The benchmark needs an NVIDIA GPU with CUDA. Fix: --device cpu --networks tiny")
    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:
        # This build of torch has no kernels for the GPU, or there is no such GPU.
        raise EngineUnavailable(f"torch cannot compute on {device}: {str(error).splitlines()[0]}") from error


def describe_device(device: str) -> str:
    if device == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
