"""Load and verify the networks from local files, and prepare them for denoising."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

import diffusers
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipeline.diffusion.attention import install_attention
from pipeline.diffusion.optimizations import Optimization
from pipeline.engines.instantid.config import Sampler, Sampling, WeightFiles
from pipeline.engines.instantid.networks.adapter import load_adapter
from pipeline.engines.instantid.networks.bundle import Config, Networks, prepare_networks
from pipeline.engines.instantid.networks.few_step import fuse_lora
from pipeline.errors import WeightsError

NetworkType = TypeVar("NetworkType", bound=nn.Module)
Scheduler: TypeAlias = "EulerDiscreteScheduler | DPMSolverMultistepScheduler | DPMSolverSinglestepScheduler"


def load_networks(
    files: WeightFiles,
    device: str,
    dtype: torch.dtype,
    optimizations: frozenset[Optimization],
    *,
    offload: bool = False,
) -> Networks:
    """Load and verify all networks, and apply the optimizations.

    Raises WeightsError."""
    for library in (diffusers, transformers):
        # Hide progress bars and hints, which would only clutter a worker's log.
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    unet, vae, text_encoders, tokenizers, scheduler_config = load_base(files, dtype)
    if files.vae is not None:
        vae = load_network(AutoencoderKL, files.vae, dtype)
    if vae.config.force_upcast and Optimization.HALF_VAE not in optimizations:
        vae.to(torch.float32)
    if Optimization.FEW_STEP in optimizations:
        if files.lora is None:
            raise WeightsError("The optimization few_step needs the weights of a few-step adapter.")
        fuse_lora(unet, files.lora)
    controlnet = load_network(ControlNetModel, files.controlnet, dtype)
    # Keep the resampler in full precision. It is small, runs once per person, and its output conditions every step.
    resampler = load_adapter(unet, files.adapter).float()
    networks = assemble(
        unet,
        controlnet,
        resampler,
        vae,
        text_encoders,
        tokenizers,
        scheduler_config,
        device,
        dtype,
        optimizations,
        offload,
    )
    prepare_networks(networks, optimizations)
    return networks


def assemble(
    unet: UNet2DConditionModel,
    controlnet: ControlNetModel,
    resampler: nn.Module,
    vae: AutoencoderKL,
    text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection],
    tokenizers: tuple[CLIPTokenizer, ...],
    scheduler_config: Config,
    device: str,
    dtype: torch.dtype,
    optimizations: frozenset[Optimization],
    offload: bool,
) -> Networks:
    """Combine the loaded networks into one value for the denoising loop.

    Replaces the attention processors, and separates the ControlNet's condition embedding. Freezes all weights, and
    moves each network to its device."""
    for network in (unet, controlnet):
        install_attention(network, flash=Optimization.FLASH_ATTENTION in optimizations)
    condition_embedding = controlnet.controlnet_cond_embedding
    controlnet.controlnet_cond_embedding = nn.Identity()
    stay = (unet, controlnet, condition_embedding, resampler)
    visit = (vae, *text_encoders)
    for module in (*stay, *visit):
        module.eval().requires_grad_(False)
        module.to("cpu" if offload and module in visit else device)
    return Networks(
        unet=unet,
        controlnet=controlnet,
        condition_embedding=condition_embedding,
        resampler=resampler,
        vae=vae,
        text_encoders=text_encoders,
        tokenizers=tokenizers,
        scheduler_config=scheduler_config,
        device=torch.device(device),
        dtype=dtype,
        offload=offload,
    )


def load_base(
    files: WeightFiles, dtype: torch.dtype
) -> tuple[
    UNet2DConditionModel,
    AutoencoderKL,
    tuple[CLIPTextModel, CLIPTextModelWithProjection],
    tuple[CLIPTokenizer, CLIPTokenizer],
    Config,
]:
    """Load SDXL from a folder in diffusers' layout or from a single checkpoint file.

    Raises WeightsError."""
    if files.base.is_file():
        return load_single_file(files, dtype)
    scheduler_config = load_scheduler_config(files.base)
    tokenizers = (load_tokenizer(files.base / "tokenizer"), load_tokenizer(files.base / "tokenizer_2"))
    text_encoders = (
        load_network(CLIPTextModel, files.base / "text_encoder", dtype),
        load_network(CLIPTextModelWithProjection, files.base / "text_encoder_2", dtype),
    )
    unet = load_network(UNet2DConditionModel, files.base / "unet", dtype)
    vae = load_network(AutoencoderKL, files.base / "vae", dtype)
    return unet, vae, text_encoders, tokenizers, scheduler_config


def load_single_file(
    files: WeightFiles, dtype: torch.dtype
) -> tuple[
    UNet2DConditionModel,
    AutoencoderKL,
    tuple[CLIPTextModel, CLIPTextModelWithProjection],
    tuple[CLIPTokenizer, CLIPTokenizer],
    Config,
]:
    """Load SDXL from a single .safetensors file. Configs and tokenizers come from a local folder.

    Raises WeightsError."""
    if files.base_configs is None or not (files.base_configs / "model_index.json").is_file():
        raise WeightsError(
            f"{files.base.name} is a single file, and the folder with SDXL's configs and tokenizers is missing."
        )
    with weights_errors(files.base):
        whole = StableDiffusionXLPipeline.from_single_file(
            str(files.base), config=str(files.base_configs), torch_dtype=dtype, local_files_only=True
        )
    for network in (whole.unet, whole.vae, whole.text_encoder, whole.text_encoder_2):
        if empty := [name for name, weight in network.named_parameters() if weight.is_meta]:
            raise WeightsError(f"{files.base} has missing weights: {empty[0]} and {len(empty) - 1} more.")
    return (
        whole.unet,
        whole.vae,
        (whole.text_encoder, whole.text_encoder_2),
        (whole.tokenizer, whole.tokenizer_2),
        dict(whole.scheduler.config),
    )


def load_network(kind: type[NetworkType], folder: Path, dtype: torch.dtype) -> NetworkType:
    """Load a diffusers or transformers network from its folder.

    Raises WeightsError if weights are missing or do not fit."""
    if not (folder / "config.json").is_file():
        raise WeightsError(f"{folder / 'config.json'} is missing.")
    with weights_errors(folder):
        network: NetworkType
        network, report = kind.from_pretrained(
            folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    # Both libraries replace missing weights by random numbers without raising an error.
    for fault in ("missing_keys", "mismatched_keys", "error_msgs"):
        if found := list(report.get(fault) or ()):
            raise WeightsError(
                f"The weights in {folder} do not match the network ({fault.replace('_', ' ')}, first {found[0]})."
            )
    return network


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Load a CLIP tokenizer from its folder.

    Raises WeightsError."""
    if not (folder / "tokenizer_config.json").is_file():
        raise WeightsError(f"{folder / 'tokenizer_config.json'} is missing.")
    with weights_errors(folder):
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)


def load_scheduler_config(base: Path) -> Config:
    """Load the config of the scheduler from SDXL's folder.

    Raises WeightsError."""
    if not (base / "scheduler" / "scheduler_config.json").is_file():
        raise WeightsError(f"{base / 'scheduler' / 'scheduler_config.json'} is missing.")
    with weights_errors(base):
        config, _ = EulerDiscreteScheduler.load_config(
            base, subfolder="scheduler", return_unused_kwargs=True, local_files_only=True
        )
        return dict(config)


def make_scheduler(config: Config, sampling: Sampling, device: torch.device) -> Scheduler:
    """Create a scheduler and set its timesteps.

    Each batch needs its own scheduler, because schedulers are stateful."""
    if sampling.trailing:
        config = {**config, "timestep_spacing": "trailing"}
    scheduler: Scheduler
    match sampling.sampler:
        case Sampler.EULER:
            scheduler = EulerDiscreteScheduler.from_config(config)
        case Sampler.DPMPP_2M_KARRAS:
            scheduler = DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True)
        case Sampler.DPMPP_SDE_KARRAS:
            scheduler = DPMSolverSinglestepScheduler.from_config(
                config, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++"
            )
    scheduler.set_timesteps(sampling.steps, device=device)
    return scheduler


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Load the tensors of a .safetensors file.

    Raises WeightsError."""
    with weights_errors(path):
        tensors: dict[str, torch.Tensor] = load_file(path)
    return tensors


@contextmanager
def weights_errors(path: Path) -> Iterator[None]:
    """Convert the errors that the libraries raise for a bad file to a WeightsError that names the file.

    GPU out-of-memory errors are not converted."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise WeightsError(
            f"{path} cannot be loaded: {(str(error) or type(error).__name__).splitlines()[0]}"
        ) from error
