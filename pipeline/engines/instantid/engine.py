"""The InstantID engine: one set of networks, any number of people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.engines.instantid.canvas import Canvas, canvas_for
from pipeline.engines.instantid.conditions import Conditions, face_tokens, make_noise
from pipeline.engines.instantid.config import InstantIDConfig
from pipeline.engines.instantid.denoise import decode, denoise
from pipeline.engines.instantid.faces import FaceReader, fuse
from pipeline.engines.instantid.finishing import fit, to_grey, to_pixels
from pipeline.engines.instantid.load import load_networks
from pipeline.engines.instantid.looks import look_for, prompts_for
from pipeline.engines.instantid.memory import MemoryMode, device_errors, fitting_batch, memory_mode, next_batch
from pipeline.engines.instantid.poses import draw_keypoints, place_keypoints, pose_for
from pipeline.engines.instantid.speed import Trick, few_step_sampling
from pipeline.engines.instantid.text import PromptEncoder
from pipeline.errors import EngineUnavailable, FaceNotFound
from pipeline.types import Job, Picture, Pixels, Progress, Size, SourcePhoto, Subject, ignore_progress
from pipeline.upscale import TorchUpscaler

# Share of a batch's time that denoising takes; decoding, enlarging and copying take the rest.
DENOISING_SHARE = 0.9
# A picture that has to grow by less than this is interpolated.
ENLARGE_FROM = 1.1


@dataclass(frozen=True, eq=False)
class InstantIDSubject(Subject):
    """A person as this engine knows them: (2, N, width) face tokens, nothing else."""

    tokens: Tensor = field(repr=False)


class InstantIDEngine:
    """Draws new pictures of people. Deterministic: a shot's seed, not its batch, decides its picture.

    Refuses to start rather than to fall back: EngineUnavailable without CUDA (unless the device is `cpu`) or with
    too little memory, WeightsError over a file that is missing, cut off or of another shape."""

    name = "instantid"

    def __init__(self, config: InstantIDConfig, on_progress: Progress = lambda share: None) -> None:
        self.config = config
        self.tricks = config.chosen_tricks
        self.sampling = few_step_sampling() if Trick.FEW_STEP in self.tricks else config.sampling
        mode = choose_mode(config.device)
        dtype = torch.float32 if config.device == "cpu" else torch.float16
        self._faces = FaceReader(config.weights.faces)
        on_progress(0.1)
        with device_errors():
            self.networks = load_networks(
                config.weights, config.device, dtype, self.tricks, offload=mode is MemoryMode.OFFLOAD
            )
            on_progress(0.9)
            self._upscaler = None
            if config.weights.upscaler is not None:
                self._upscaler = TorchUpscaler.load(
                    config.weights.upscaler,
                    config.device,
                    channels_last=Trick.CHANNELS_LAST in self.tricks,
                    compiled=Trick.COMPILE in self.tricks,
                )
        self._prompts = PromptEncoder(self.networks)
        self._limits: dict[Size, int] = {}
        on_progress(1.0)

    def capacity(self, size: Size) -> int:
        """Pictures at once: what free memory allows, less where it once did not suffice."""
        canvas = self._canvas(size).size
        if canvas not in self._limits:
            limit = self.config.max_batch
            if self.networks.device.type == "cuda":
                free, _ = torch.cuda.mem_get_info(self.networks.device)
                limit = fitting_batch(free, canvas, limit)
            self._limits[canvas] = limit
        return self._limits[canvas]

    def prepare(
        self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress
    ) -> InstantIDSubject:
        """The person's face tokens, from every photo in which the detector sees them. Raises FaceNotFound."""
        readings = []
        for photo in photos:
            try:
                readings.append(self._faces.read(photo))
            except FaceNotFound:
                if len(photos) == 1:
                    raise
        with device_errors():
            return InstantIDSubject(self.name, size, face_tokens(self.networks, fuse(readings)))

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """One picture a job, in order. Raises DeviceLost, EngineUnavailable, or what `on_progress` raises."""
        done = 0
        while done < len(jobs):
            static = Trick.COMPILE in self.tricks
            batch = jobs[done : done + next_batch(len(jobs) - done, self.capacity(size), static=static)]
            pixels = self._try_batch(batch, size, BatchProgress(on_progress, done, len(batch), len(jobs)))
            if pixels is None:
                self._halve(len(batch), size)
                continue
            for job, each in zip(batch, pixels, strict=True):
                yield Picture(job, each)
            done += len(batch)
            on_progress(done / len(jobs))

    def _try_batch(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> list[Pixels] | None:
        """The batch's pictures, or None when they did not fit into memory: then all of it is free again."""
        try:
            with device_errors():
                return self._render_batch(jobs, size, on_progress)
        except torch.OutOfMemoryError:
            return None

    def _render_batch(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> list[Pixels]:
        canvas = self._canvas(size)
        conditions = [self._conditions(job, canvas.size) for job in jobs]
        # Compiled networks know one picture and a full batch; any other number costs a minute of compiling.
        spare = self.capacity(size) - len(jobs) if Trick.COMPILE in self.tricks and len(jobs) > 1 else 0
        latents = denoise(self.networks, conditions + conditions[-1:] * spare, self.sampling, self.tricks, on_progress)
        return [
            self._finish(job, picture, canvas, size)
            for job, latent in zip(jobs, latents, strict=False)
            for picture in decode(self.networks, latent[None])
        ]

    def _conditions(self, job: Job, canvas: Size) -> Conditions:
        if not isinstance(job.subject, InstantIDSubject):
            raise TypeError(f"a subject of the {job.subject.engine} engine")
        look, shot = look_for(job.shot), job.shot
        prompt, negative = self._prompts.encode(list(prompts_for(shot)))
        return Conditions(
            prompt=prompt,
            negative=negative,
            face_tokens=job.subject.tokens,
            keypoint_image=draw_keypoints(place_keypoints(pose_for(shot.index), canvas), canvas),
            noise=make_noise(self.networks, shot.seed, canvas),
            guidance_scale=1.0 if Trick.FEW_STEP in self.tricks else look.guidance_scale,
            control_scale=look.control_scale,
            adapter_scale=look.adapter_scale,
            control_end=look.control_end,
        )

    def _finish(self, job: Job, picture: Tensor, canvas: Canvas, size: Size) -> Pixels:
        if canvas.growth > ENLARGE_FROM:
            if self._upscaler is None:
                raise EngineUnavailable(f"Pictures of {size.width} x {size.height} need the upscaler's weights.")
            with self.networks.on_device(self._upscaler.network):
                picture = self._upscaler.enlarge(picture)
        picture = fit(picture, size)
        return to_pixels(to_grey(picture) if job.shot.style.monochrome else picture)

    def _halve(self, tried: int, size: Size) -> None:
        """Lowers the limit for this size. Raises EngineUnavailable when not even one picture fits."""
        if self.networks.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried == 1:
            raise EngineUnavailable(f"Not even one picture of {size.width} x {size.height} fits into memory.")
        self._limits[self._canvas(size).size] = tried // 2

    def _canvas(self, size: Size) -> Canvas:
        grain = 4 * self.networks.vae_factor
        return canvas_for(size, self.config.canvas_pixels, grain)


class BatchProgress:
    """Turns a batch's share into that of all jobs. A batch that is tried again in halves starts again."""

    def __init__(self, on_progress: Progress, done: int, batch: int, total: int) -> None:
        self._on_progress, self._done, self._batch, self._total = on_progress, done, batch, total

    def __call__(self, share: float) -> None:
        self._on_progress((self._done + DENOISING_SHARE * share * self._batch) / self._total)


def choose_mode(device: str) -> MemoryMode:
    """How the networks share the device. Raises EngineUnavailable when it cannot run them."""
    if device == "cpu":
        return MemoryMode.RESIDENT
    if not torch.cuda.is_available():
        raise EngineUnavailable(
            "The InstantID engine needs an NVIDIA GPU with CUDA and torch sees none. "
            "Fix: install a driver and torch's CUDA build, or HEADSHOTS_ENGINE=studio."
        )
    return memory_mode(torch.cuda.get_device_properties(device).total_memory)
