"""From a folder or a hub name to a model, its tokenizer and an engine that runs them."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hopwell.cache.prefix import PAGE
from hopwell.checkpoint.reader import Checkpoint
from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.core import SamplingParams
from hopwell.engine.loop import Engine
from hopwell.engine.tokenizer import Tokenizer
from hopwell.errors import HopwellError
from hopwell.model.activations import use_activations
from hopwell.model.latent_cache import page_bytes, step_bytes, use_cache
from hopwell.model.transformer import Transformer
from hopwell.ops.linear import cpu_multiplies_bf16, has_kernels, rows_are_summed_alike
from hopwell.precision.cache_format import decided_scales

if TYPE_CHECKING:
    from hopwell.codec.template import ChatTemplate
    from hopwell.engine.runner import Model
    from hopwell.model.decode import Decoder

log = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

NANO = Path(__file__).parents[1] / "model" / "nano"
"""The embedded model."""
CPU_CACHE_BYTES = 1 << 30
"""Taken from the system only as pages are first used."""
CPU_BATCH_TOKENS = 512
ONE_THREAD_BELOW = 256 << 20
"""Bytes of weights below which a step on a CPU is over before a second thread has woken."""
GPU_CACHE_SHARE = 0.9
"""Of the memory that the weights and the longest step leave free."""
FILES = ["*.json", "*.safetensors", "*.jinja"]


class ModelError(HopwellError):
    """The model named by the user cannot be had."""


@dataclass
class LoadedModel:
    """A checkpoint in memory, ready to be given to an `Engine`."""

    name: str
    path: Path
    model: Transformer
    tokenizer: Tokenizer
    eos_token_ids: tuple[int, ...]
    default_params: SamplingParams
    """Sampling as the model's authors recommend it (generation_config.json)."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds that each part of the start took."""

    @cached_property
    def template(self) -> ChatTemplate:
        """The checkpoint's chat template, read on first use."""
        from hopwell.codec.template import ChatTemplate

        return ChatTemplate.open(self.path)

    @cached_property
    def reply_format(self) -> str | None:
        """How this checkpoint writes tool calls (a name of `codec.formats`); None if it calls none."""
        from hopwell.codec.formats import detect
        from hopwell.codec.template import NoTemplateError

        try:
            source = self.template.source
        except NoTemplateError:  # V3.2 comes without one
            source = ""
        return detect(source, lambda token: self.tokenizer.inner.token_to_id(token) is not None)

    def config(self, **settings: Any) -> EngineConfig:
        """Settings by name; those not given as they suit this model and device.

        Raises:
            EngineConfigError: a setting is unknown or out of range.
        """
        known = {field.name for field in fields(EngineConfig)}
        if unknown := settings.keys() - known:
            raise EngineConfigError(f"setting {min(unknown)!r} is unknown; known: {', '.join(sorted(known))}")
        settings.setdefault("drafts", int(self.model.has_mtp))
        if self.model.device.type == "cuda":  # it costs half the speed there: only if asked for
            settings.setdefault("deterministic", False)
            settings.setdefault("overlap", not settings["drafts"])  # a step with drafts waits for the one before
        if self.model.device.type == "cpu":  # a short chunk's attention stays in the CPU's cache
            seqs = settings.get("max_seqs", EngineConfig().max_seqs)
            settings.setdefault("max_batch_tokens", max(CPU_BATCH_TOKENS, seqs * (1 + settings["drafts"])))
        return EngineConfig(**settings)

    def engine(self, config: EngineConfig) -> Engine:
        """An engine for this model; its latent cache is allocated here."""
        started = time.perf_counter()
        c = self.model.config
        # calibrated scales if `hopwell verify-cache` approved them; a model that it refused does not start with fp8
        scales = decided_scales(self.path, self.model) if config.cache_dtype == "fp8" else None
        use_cache(self.model, config.cache_dtype, scales)
        use_activations(self.model, config.activations, config.deterministic)
        # one way of attention for all lengths, or tokens would depend on how a prompt was cut into chunks
        self.model.absorbed = True if config.deterministic and self.deterministic else None
        model = self._runnable(config)  # before pages are counted: it may move weights
        engine = Engine(
            model,
            config,
            model_len=c.max_position_embeddings,
            num_pages=self._pages(config),
            vocab_size=c.vocab_size,
            eos_token_ids=self.eos_token_ids,
            tokenizer=self.tokenizer,
        )
        self.phases["cache"] = time.perf_counter() - started
        return engine

    @property
    def deterministic(self) -> bool:
        """Whether a token's bits can be kept from depending on its batch: on CPUs that multiply in bfloat16, and on a
        GPU whose kernels suit the model. Elsewhere rounding may differ between batch sizes, and rarely a token."""
        if self.model.device.type == "cpu":
            return self.model.dtype == torch.bfloat16 and cpu_multiplies_bf16() and rows_are_summed_alike()
        return self.unsuited is None

    @cached_property
    def unsuited(self) -> str | None:
        """Why captured kernels cannot run this model here, or None if they can."""
        if self.model.device.type != "cuda":
            return "it is not on a GPU"
        if not has_kernels(self.model.device):
            return "the kernels are for Hopper and Blackwell GPUs, and need the package triton"
        from hopwell.model.decode import unsuited  # Triton is a GPU's dependency

        return unsuited(self.model)

    @cached_property
    def _decoder(self) -> Decoder:
        """The model laid out for the kernels; once, for it moves the experts."""
        from hopwell.model.decode import Decoder

        return Decoder.of(self.model)

    def _runnable(self, config: EngineConfig) -> Model:
        """What the runner steps: the model, behind captured graphs where they are wanted and can be had."""
        if not config.graphs or self.model.device.type != "cuda":
            return self.model
        if self.unsuited is not None:
            log.warning("steps are not captured as CUDA graphs: %s", self.unsuited)
            return self.model
        from hopwell.engine import graphs

        deterministic = config.deterministic
        sizes = (graphs.DETERMINISTIC_SIZE,) if deterministic else graphs.GRAPH_SIZES
        return graphs.GraphedModel(
            self.model, self._decoder, sizes, deterministic, config.max_batch_tokens, self.phases
        )

    def _pages(self, config: EngineConfig) -> int:
        """Pages of the latent cache: as configured, or what memory holds, at most what all slots can fill."""
        c = self.model.config
        if config.cache_tokens is not None:
            if config.cache_tokens < PAGE:
                raise EngineConfigError(f"cache_tokens is {config.cache_tokens}; give {PAGE} or more")
            return config.cache_tokens // PAGE
        a_page = page_bytes(self.model, PAGE)
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
            free = torch.cuda.mem_get_info(self.model.device)[0] - step_bytes(c, config.max_batch_tokens)
            room = max(0, int(free * GPU_CACHE_SHARE))
        else:
            room = CPU_CACHE_BYTES
        length = config.max_model_len or c.max_position_embeddings
        pages = min(room // a_page, config.max_seqs * -(-length // PAGE))
        if not pages:
            raise EngineConfigError(f"memory for the cache is {room:,} bytes, less than one page; free some")
        return pages


def load_model(
    model: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    progress: Callable[[int, int, str], None] | None = None,
    on_compile: Callable[[int, int, str], None] | None = None,
) -> LoadedModel:
    """Opens and loads a model; for a GPU its kernels are compiled meanwhile, where they were not before.

    For a small model on a CPU, PyTorch's threads in this process are set to one, unless OMP_NUM_THREADS is set.

    Args:
        model: a checkpoint's folder, a name on the Hugging Face hub, or None for the embedded nano.
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU if there is one.
        dtype: "bfloat16" or "float32"; "auto" is bfloat16 wherever the device computes in it.
        progress: called with bytes read, bytes in all and the tensor's name.
        on_compile: called, once weights are there, with kernels compiled, kernels in all and the kernel's name.

    Raises:
        ModelError, CheckpointError, ConfigError: one line that names the culprit.
    """
    phases: dict[str, float] = {}
    started = time.perf_counter()
    path = resolve(model)
    checkpoint = Checkpoint.open(path)
    tokenizer = Tokenizer.open(path)
    phases["open"] = time.perf_counter() - started
    started = time.perf_counter()
    where = pick_device(device)
    if where.type == "cpu" and checkpoint.total_bytes < ONE_THREAD_BELOW and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
    with compiling(checkpoint.config, where) as wait:
        weights = Transformer.load(checkpoint, where, pick_dtype(dtype, where), progress)
        phases["weights"] = time.perf_counter() - started
        started = time.perf_counter()
        if wait(on_compile):
            phases["kernels"] = time.perf_counter() - started
    generation = _read_json(path / "generation_config.json")
    eos = generation.get("eos_token_id", checkpoint.config.get("eos_token_id"))
    return LoadedModel(
        name="nano" if model is None else str(model).rstrip("/").split("/")[-1],
        path=path,
        model=weights,
        tokenizer=tokenizer,
        eos_token_ids=tuple(eos) if isinstance(eos, list) else (eos,) if eos is not None else (),
        default_params=_default_params(generation),
        phases=phases,
    )


@contextmanager
def compiling(values: dict[str, Any], device: torch.device) -> Iterator[Callable[[Progress | None], int]]:
    """Compiles a model's kernels in other processes while weights are read; gives the function that waits for them and
    returns how many there were. Without a GPU that they are for, or with all of them in the cache, there are none."""
    if device.type != "cuda" or not has_kernels(device):
        yield lambda progress: 0
        return
    from hopwell.model.warm import WarmError, Warming  # Triton is a GPU's dependency

    major, minor = torch.cuda.get_device_capability(device)
    with Warming(values, 10 * major + minor) as warming:

        def wait(progress: Progress | None) -> int:
            try:
                return warming.wait(progress)
            except WarmError as error:  # each will be compiled when it is first wanted
                log.warning("%s", error)
                return 0

        yield wait


def resolve(model: str | Path | None) -> Path:
    """The folder of a model: itself, the embedded one, or a download from the hub.

    Raises:
        ModelError: there is no such folder and the hub has no such model, or cannot be reached.
    """
    if model is None:
        return NANO
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(f"{path} is a file; give the folder of the checkpoint")
    if str(model).count("/") != 1 or str(model).startswith((".", "/", "~")):
        raise ModelError(f"{model}: no such folder, and not a hub name such as deepseek-ai/DeepSeek-R1")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), allow_patterns=FILES))
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(f"{model}: no such folder here, and the hub did not give it ({reason})") from None


def pick_device(device: str) -> torch.device:
    """A device by name; "auto" is a GPU if there is one.

    Raises:
        ModelError: the name is unknown, or there is no such device here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise ModelError(f"device {device!r} is unknown; known: auto, cpu, cuda, cuda:0, cuda:1, ...")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ModelError(f"device {device!r} is not here: PyTorch sees {torch.cuda.device_count()} GPUs; give cpu")
    return torch.device(device)


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """A dtype by name; "auto" is bfloat16 but on CPUs that would emulate it.

    Raises:
        ModelError: the name is unknown.
    """
    if dtype == "auto":
        return torch.float32 if device.type == "cpu" and not cpu_multiplies_bf16() else torch.bfloat16
    if dtype not in ("bfloat16", "float32"):
        raise ModelError(f"dtype {dtype!r} is unknown; known: auto, bfloat16, float32")
    return getattr(torch, dtype)


def _default_params(generation: dict[str, Any]) -> SamplingParams:
    if not generation.get("do_sample", False):
        return SamplingParams(temperature=0.0)
    known = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    return SamplingParams(**{name: generation[name] for name in known if generation.get(name) is not None})


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ModelError(f"{path}: not valid JSON: {error}; fetch the file again") from None
