"""The InstantID engine class: prepares subjects and renders batches of shots."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.diffusion.device import choose_mode
from pipeline.diffusion.memory import MemoryMode, device_errors, fitting_batch, loading, next_batch, usable_bytes
from pipeline.diffusion.optimizations import Optimization, compiler_fault
from pipeline.engines.instantid.canvas import (
    Canvas,
    add_grain,
    canvas_for,
    fit,
    mix_plain,
    to_gray,
    to_pixels,
)
from pipeline.engines.instantid.conditions import Conditions, face_tokens, make_noise
from pipeline.engines.instantid.config import InstantIDConfig, Proportions, Sampling, few_step_sampling
from pipeline.engines.instantid.denoise import decode, denoise
from pipeline.engines.instantid.faces import FaceReader, fuse
from pipeline.engines.instantid.heads import AVERAGE_HEAD, TEMPLATE_HEAD, Head, measure_head
from pipeline.engines.instantid.looks import frame_pose, get_prompt_style, prompts_for
from pipeline.engines.instantid.networks.adapter import EMBEDDING_LENGTH
from pipeline.engines.instantid.networks.bundle import leave_uncompiled
from pipeline.engines.instantid.networks.load import load_networks
from pipeline.engines.instantid.networks.text_encoders import PromptEncoder
from pipeline.engines.instantid.picture_checks import feature_offset, require_finite
from pipeline.engines.instantid.poses import Keypoints, draw_keypoints, place_keypoints, pose_for
from pipeline.errors import EngineUnavailable, FaceNotFound
from pipeline.styles.shot_list import load_styles
from pipeline.types import (
    PREMIUM,
    PREVIEW,
    Job,
    Picture,
    Pixels,
    Progress,
    Shot,
    Size,
    SourcePhoto,
    Subject,
    ignore_progress,
    within,
)
from pipeline.upscaling.upscale import TorchUpscaler

log = logging.getLogger(__name__)

# Fraction of the startup time that loading takes if the networks are also compiled.
LOADING_SHARE = 0.2
# Fraction of a batch's time that denoising takes. Decoding, enlarging and copying take the rest.
DENOISING_SHARE = 0.9
# Pictures that must be enlarged by less than this factor are interpolated.
ENLARGE_FROM = 1.1
# Distance of eyes or mouth from their key points, in eye distances, from which the log mentions it.
MAX_FEATURE_OFFSET = 0.35


@dataclass(frozen=True, eq=False)
class InstantIDSubject(Subject):
    """A person, represented by face tokens (2, N, width) and the proportions of their head."""

    tokens: Tensor = field(repr=False)
    head: Head = field(repr=False)


class InstantIDEngine:
    """An engine that generates new pictures of a person.

    The engine is deterministic: a picture depends on the shot's seed and not on the batch. The engine never falls back
    to another mode.

    With the optimization `compile`, creating the engine takes minutes. Rendering waits for the compiler again only if
    memory runs out and the batch size is halved. If torch cannot compile, the engine logs a warning and continues
    with uncompiled networks, which render the same pictures.

    Raises EngineUnavailable without CUDA (unless the device is `cpu`), or with too little memory. Raises WeightsError
    if a file is missing, damaged or of the wrong shape."""

    name = "instantid"

    def __init__(self, config: InstantIDConfig, on_progress: Progress = lambda share: None) -> None:
        self.config = config
        self.optimizations = config.chosen_optimizations
        if fault := compiler_fault(self.optimizations):
            log.warning(fault)
            self.optimizations -= {Optimization.COMPILE}
        self.sampling = few_step_sampling() if Optimization.FEW_STEP in self.optimizations else config.sampling
        mode = choose_mode(config.device, self.optimizations)
        dtype = torch.float32 if config.device == "cpu" else torch.float16
        compiles = Optimization.COMPILE in self.optimizations
        on_loading = within(on_progress, 0, LOADING_SHARE if compiles else 1)
        self._faces = FaceReader(config.weights.faces)
        on_loading(0.1)
        with loading():
            self.networks = load_networks(
                config.weights, config.device, dtype, self.optimizations, offload=mode is MemoryMode.OFFLOAD
            )
            on_loading(0.9)
            self._upscaler = None
            if config.weights.upscaler is not None:
                self._upscaler = TorchUpscaler.load(
                    config.weights.upscaler,
                    config.device,
                    channels_last=Optimization.CHANNELS_LAST in self.optimizations,
                    compiled=compiles,
                )
        self._prompts = PromptEncoder(self.networks)
        self._limits: dict[Size, int] = {}
        if compiles:
            self._compile(within(on_progress, LOADING_SHARE, 1 - LOADING_SHARE))
        on_progress(1.0)

    def capacity(self, size: Size) -> int:
        """Return the preferred number of pictures of this size per batch.

        On a GPU the number depends on free memory. Each out-of-memory error halves it."""
        canvas = self._canvas(size).size
        if canvas not in self._limits:
            limit = self.config.max_batch
            if self.networks.device.type == "cuda":
                limit = fitting_batch(usable_bytes(self.networks.device), canvas, limit)
            self._limits[canvas] = limit
        return self._limits[canvas]

    def prepare(
        self, photos: Sequence[SourcePhoto], size: Size, on_progress: Progress = ignore_progress
    ) -> InstantIDSubject:
        """Compute the person's face tokens from all photos in which the detector finds the face, and measure the head.

        Raises FaceNotFound if it finds the face in no photo."""
        readings = []
        for photo in photos:
            try:
                readings.append(self._faces.read(photo))
            except FaceNotFound:
                if len(photos) == 1:
                    raise
        head = TEMPLATE_HEAD
        if self.config.proportions is Proportions.PERSON:
            head = measure_head([photo.face.mesh for photo in photos])
        with device_errors():
            tokens = face_tokens(self.networks, fuse(readings))
            require_finite(tokens, "The face tokens")
            return InstantIDSubject(self.name, size, tokens, head)

    def render(self, jobs: Sequence[Job], size: Size, on_progress: Progress) -> Iterator[Picture]:
        """Yield one picture per job, in order, as soon as each is finished.

        Raises DeviceLost, EngineUnavailable, NumericalError, or the exception of `on_progress`."""
        return self._render(jobs, size, self.sampling, on_progress)

    def _render(self, jobs: Sequence[Job], size: Size, sampling: Sampling, on_progress: Progress) -> Iterator[Picture]:
        static, done = Optimization.COMPILE in self.optimizations, 0
        while done < len(jobs):
            batch = jobs[done : done + next_batch(len(jobs) - done, self.capacity(size), static=static)]
            on_batch_progress = within(on_progress, done / len(jobs), len(batch) / len(jobs))
            fits = True
            try:
                for picture in self._render_batch(batch, size, sampling, on_batch_progress):
                    done += 1
                    yield picture
            except torch.OutOfMemoryError:
                # Halve the limit outside of this block, because the exception references the tensors that filled the
                # memory.
                fits = False
            if not fits:
                self._halve(len(batch), size)

    def _render_batch(
        self, jobs: Sequence[Job], size: Size, sampling: Sampling, on_progress: Progress
    ) -> Iterator[Picture]:
        with device_errors():
            canvas = self._canvas(size)
            conditions = [self._conditions(job, canvas.size) for job in jobs]
            # Pad the batch. The networks are compiled for one picture and for a full batch. Any other count would
            # compile for a minute.
            spare = (
                self.capacity(size) - len(jobs) if Optimization.COMPILE in self.optimizations and len(jobs) > 1 else 0
            )
            padded = conditions + conditions[-1:] * spare
            seeds = [job.shot.seed for job in jobs] + [jobs[-1].shot.seed] * spare
            latents = denoise(
                self.networks, padded, sampling, self.optimizations, within(on_progress, 0, DENOISING_SHARE), seeds
            )
            for number, job in enumerate(jobs):
                require_finite(latents[number], f"The latents of shot {job.shot.index}")
                (picture,) = decode(self.networks, latents[number : number + 1])
                require_finite(picture, f"The decoded picture of shot {job.shot.index}")
                self._check_features(job, picture, canvas.size)
                pixels = self._finish(job, picture, canvas, size)
                on_progress(DENOISING_SHARE + (1 - DENOISING_SHARE) * (number + 1) / len(jobs))
                yield Picture(job, pixels)

    def _compile(self, on_progress: Progress) -> None:
        """Compile the networks by rendering dummy pictures in every shape that packs use.

        Compiling takes minutes, which no pack should wait for. For each canvas, renders a full batch and a single
        picture, with two steps so that the cutoff optimizations are compiled too."""
        tokens = face_tokens(self.networks, np.ones(EMBEDDING_LENGTH, np.float32))
        brief = replace(self.sampling, steps=2)
        # Both sizes usually have the same canvas. The dictionary then keeps the larger size, which also compiles the
        # upscaler.
        sizes = (PREVIEW,) if self._upscaler is None else (PREVIEW, PREMIUM)
        canvases = {self._canvas(size).size: size for size in sizes}
        runs = [(size, count) for size in canvases.values() for count in {self.capacity(size), 1}]
        for number, (size, count) in enumerate(runs):
            job = Job(InstantIDSubject(self.name, size, tokens, AVERAGE_HEAD), Shot(0, load_styles()[0], seed=0))
            on_batch_progress = within(on_progress, number / len(runs), 1 / len(runs))
            try:
                for _ in self._render([job] * count, size, brief, on_batch_progress):
                    pass
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().splitlines()[0]
                log.warning(f"The networks are not compiled, because torch cannot compile them here ({reason}).")
                self.optimizations -= {Optimization.COMPILE}
                leave_uncompiled(self.networks, *([self._upscaler.network] if self._upscaler else []))
                return

    def _conditions(self, job: Job, canvas: Size) -> Conditions:
        if not isinstance(job.subject, InstantIDSubject):
            raise TypeError(f"a subject of the {job.subject.engine} engine")
        prompt_style, shot = get_prompt_style(job.shot), job.shot
        prompt, negative = self._prompts.encode(list(prompts_for(shot)))
        return Conditions(
            prompt=prompt,
            negative=negative,
            face_tokens=job.subject.tokens,
            keypoint_image=draw_keypoints(self._keypoints(job, canvas), canvas),
            noise=make_noise(self.networks, shot.seed, canvas),
            guidance_scale=1.0 if Optimization.FEW_STEP in self.optimizations else prompt_style.guidance_scale,
            control_scale=prompt_style.control_scale,
            adapter_scale=prompt_style.adapter_scale,
            control_end=prompt_style.control_end,
        )

    def _keypoints(self, job: Job, canvas: Size) -> Keypoints:
        assert isinstance(job.subject, InstantIDSubject)
        return place_keypoints(frame_pose(pose_for(job.shot.index), job.shot.framing), canvas, job.subject.head)

    def _finish(self, job: Job, picture: Tensor, canvas: Canvas, size: Size) -> Pixels:
        if canvas.growth > ENLARGE_FROM:
            if self._upscaler is None:
                raise EngineUnavailable(f"Pictures of {size.width} x {size.height} need the upscaler's weights.")
            with self.networks.on_device(self._upscaler.network):
                enlarged = self._upscaler.enlarge(picture)
            require_finite(enlarged, f"The enlarged picture of shot {job.shot.index}")
            picture = mix_plain(enlarged, picture, canvas.growth)
        picture, monochrome = fit(picture, size), job.shot.style.monochrome
        if monochrome:
            picture = to_gray(picture)
        return to_pixels(add_grain(picture, canvas.growth, job.shot.seed, monochrome=monochrome))

    def _check_features(self, job: Job, picture: Tensor, canvas: Size) -> None:
        """Log if eyes and mouth are not where the key points put them.

        Then the ControlNet had no effect, or has wrong weights. The quality gate decides about the picture itself."""
        found = self._faces.find_keypoints(to_pixels(picture))
        if found is None:
            return
        offset = feature_offset(self._keypoints(job, canvas), found)
        if offset > MAX_FEATURE_OFFSET:
            message = "shot %d: eyes or mouth are %.2f eye distances from their key points"
            log.warning(message, job.shot.index, offset)

    def _halve(self, tried: int, size: Size) -> None:
        """Halve the batch limit for this size.

        Raises EngineUnavailable if even a single picture does not fit."""
        if self.networks.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried == 1:
            raise EngineUnavailable(f"There is not enough memory for one picture of {size.width} × {size.height}.")
        self._limits[self._canvas(size).size] = tried // 2

    def _canvas(self, size: Size) -> Canvas:
        side_multiple = 4 * self.networks.vae_factor
        return canvas_for(size, self.config.canvas_pixels, side_multiple)
