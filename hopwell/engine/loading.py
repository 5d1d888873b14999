"""From a folder or a hub name to a model, its tokenizer and an engine that runs them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hopwell.checkpoint.reader import Checkpoint
from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.defaults import cache_pages, engine_config, model_settings
from hopwell.engine.describe import matrix_dtypes, weight_bytes
from hopwell.engine.device import own_gpu, pick_device, pick_dtype, set_threads
from hopwell.engine.energy import NO_COUNTER, EnergyMeter, RowCosts, find_counter, usual_rates
from hopwell.engine.engine import Engine
from hopwell.engine.frontend import NANO, Frontend, ModelError, name_of, resolve
from hopwell.engine.meter import StepMeter, measure_rates, recorder_for
from hopwell.engine.parallel import RANK, ParallelModel
from hopwell.limits.meter import Rates
from hopwell.model import forward_choice
from hopwell.model.loading import config_of, load_transformer
from hopwell.model.shape_classes import GRAPH_SIZES
from hopwell.model.sharding import Shard, own_values, share
from hopwell.model.transformer import Transformer
from hopwell.ops.alike import rows_are_summed_alike
from hopwell.ops.device import PLAIN, Device, has_kernels
from hopwell.ops.exchange import Exchange
from hopwell.parallel.group import close_group, meeting_place, open_exchange
from hopwell.parallel.launch import Lines, Ranks
from hopwell.parallel.layout import Layout
from hopwell.parallel.memory import RankLost
from hopwell.quantization.cache_format import decided_scales

if TYPE_CHECKING:
    from hopwell.engine.runner import Model

__all__ = ["NANO", "LoadedModel", "ModelError", "load_model", "resolve"]
log = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]
GLOO = False
"""Whether ranks on CPUs exchange through a process group, as those on GPUs do; tests ask for it."""


@dataclass(kw_only=True)
class LoadedModel(Frontend):
    """A checkpoint in memory, ready to be given to an `Engine`."""

    model: Transformer
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds that each part of the start took."""
    ranks: Ranks | None = None
    """The other ranks, where several share the model; `model` is rank 0's share, and has the exchange with them."""
    engines: int = 0
    """That were made."""

    @classmethod
    def of(
        cls, frontend: Frontend, model: Transformer, phases: dict[str, float], ranks: Ranks | None = None
    ) -> LoadedModel:
        """A model with the texts that were read before it."""
        texts = {field.name: getattr(frontend, field.name) for field in fields(frontend)}
        loaded = cls(**texts, model=model, ranks=ranks)
        loaded.phases = phases
        loaded.__dict__.update(frontend.__dict__)  # what it has cached: the template, its child process on the way
        return loaded

    @property
    def layout(self) -> Layout:
        """Over how many ranks the model lies."""
        return Layout() if self.ranks is None else self.ranks.layout

    def config(self, **settings: Any) -> EngineConfig:
        """Settings by name; those not given as they suit this model and device.

        Raises:
            EngineConfigError: a setting is unknown or out of range.
        """
        return engine_config(settings, self.model.device, self.model.has_mtp)

    def engine(self, config: EngineConfig) -> Engine:
        """An engine for this model; its latent cache is allocated here. Engines share the weights alone."""
        check_tiers(config, self.layout)
        check_meter(config, self.layout, self.model.device)
        started = time.perf_counter()
        c = self.model.config
        model = self._set_up(config)
        runnable = self._runnable(model, config)
        if self.ranks is not None:
            self.engines += 1
            assert self.model.exchange is not None
            runnable = ParallelModel(runnable, self.ranks, self.model.exchange, self.engines, config)
        meter = None
        if config.meter:
            meter = StepMeter(model, self.rates, recorder_for(model), config.overlap)
        engine = Engine(
            runnable,
            config,
            model_len=c.max_position_embeddings,
            num_pages=cache_pages(model, config),
            vocab_size=c.vocab_size,
            eos_token_ids=self.eos_token_ids,
            tokenizer=self.tokenizer,
            meter=meter,
            energy=self._energy(model, config),
        )
        if self.ranks is not None:
            self.ranks.when_lost(engine.fail)
        self.phases["cache"] = time.perf_counter() - started
        return engine

    def _energy(self, model: Transformer, config: EngineConfig) -> EnergyMeter | None:
        """What shares joules among requests.

        Raises:
            EngineConfigError: it was asked for, and there is no counter.
        """
        if not config.energy and (config.energy is False or model.device.type == "cuda"):
            return None
        counter = find_counter(model.device, self.layout.world)
        if counter is None:
            if config.energy:
                raise EngineConfigError(
                    f"energy: {NO_COUNTER}; leave out --energy, --grams-per-kwh and --price-per-kwh"
                )
            return None
        return EnergyMeter(counter, RowCosts(model, usual_rates(model.device) or self.rates))

    def close(self) -> None:
        """Ends the other ranks, if there are any. Engines are closed before."""
        if self.ranks is not None:
            self.ranks.close()
            close_group()

    @cached_property
    def rates(self) -> Rates:
        """The device's ceilings, measured when they are first asked for."""
        started = time.perf_counter()
        rates = measure_rates(self.model, sum(weight_bytes(self.model).values()))
        self.phases["ceilings"] = time.perf_counter() - started
        return rates

    @property
    def batch_invariant(self) -> bool:
        """Whether a token's bits can be kept from depending on its batch: on CPUs with matrices in a dtype whose
        products sum a row in one order (`rows_are_summed_alike`), and on a GPU whose kernels suit the model. Elsewhere
        rounding may differ between batch sizes, and rarely a token."""
        if self.model.device.type == "cpu":
            return all(rows_are_summed_alike(dtype) for dtype in matrix_dtypes(self.model))
        return self.unsuited is None

    @cached_property
    def unsuited(self) -> str | None:
        """Why captured kernels cannot run this model here, or None if they can."""
        device = self.model.device
        variant = forward_choice.choose(self.model, Device.of(device) if device.type == "cuda" else PLAIN)
        return None if variant.name == "fused_chain" else variant.why

    def runnable(self, config: EngineConfig) -> Model:
        """What a runner steps: the model set up for an engine, behind captured graphs where they are wanted and can be
        had.

        Raises:
            HopwellError: a setting cannot be honoured with this model on this device.
        """
        return self._runnable(self._set_up(config), config)

    def _set_up(self, config: EngineConfig) -> Transformer:
        """The model as an engine uses it."""
        settings = model_settings(config)
        if config.cache_dtype == "fp8":
            # calibrated scales if `hopwell verify-cache` approved them; one that it refused does not start with fp8
            settings = replace(settings, cache_scales=decided_scales(self.path, self.model))
        if config.batch_invariant and self.batch_invariant:
            # one way of attention for all lengths, or tokens would depend on how a prompt was cut into chunks
            settings = replace(settings, absorbed=True)
        return settings.of(self.model)

    def _runnable(self, model: Transformer, config: EngineConfig) -> Model:
        """What the runner steps: the model, behind captured graphs where they are wanted and can be had."""
        if not config.graphs or model.device.type != "cuda":
            return model
        if self.unsuited is not None:
            log.warning("steps are not captured as CUDA graphs: %s", self.unsuited)
            return model
        from hopwell.engine.graphs import GraphedModel

        return GraphedModel(model, config.batch_invariant, config.max_batch_tokens, phases=self.phases)


def load_model(
    model: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    progress: Callable[[int, int, str], None] | None = None,
    on_compile: Callable[[int, int, str], None] | None = None,
    chat_template: Path | None = None,
    conversations: bool = True,
    settings: Mapping[str, Any] | None = None,
    tp: int = 1,
    ep: int = 1,
) -> LoadedModel:
    """Opens and loads a model; for a GPU its kernels are compiled meanwhile, where they were not before.

    For a small model on a CPU, PyTorch's threads in this process are set to one, unless OMP_NUM_THREADS is set.

    Args:
        model: a checkpoint's folder, a name on the Hugging Face hub, or None for the embedded nano.
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU if there is one.
        dtype: "bfloat16", "float16" (of matrices alone, before float32 rows, on a CPU) or "float32"; "auto" is
            bfloat16 wherever the device computes in it, else float16 where the CPU multiplies that.
        progress: called with bytes read, bytes in all and the tensor's name.
        on_compile: called, once weights are there, with kernels compiled, kernels in all and the kernel's name.
        chat_template: a Jinja file in place of the checkpoint's chat template.
        conversations: what renders the template is started; False where another process renders.
        settings: of the engine to come, as `LoadedModel.config` takes them: what cannot be is said before weights are
            read, and kernels are compiled for them.
        tp: ranks that share every layer: this process, and others that it starts.
        ep: 1, or `tp`: each has whole routed experts in place of a part of each.

    Raises:
        ModelError, CheckpointError, ConfigError, TemplateError, LayoutError: one line that names the culprit.
        EngineConfigError, ActivationsError, CacheFormatError, FourBitsError: a setting cannot be honoured.
        RankLost: another rank could not load its share.
    """
    layout = Layout.of(tp, ep)
    phases: dict[str, float] = {}
    started = time.perf_counter()
    path = resolve(model)
    checkpoint = Checkpoint.open(path)
    config = config_of(checkpoint)
    for warning in config.warnings:
        log.warning("%s", warning)
    frontend = Frontend.open(path, chat_template, name_of(model), checkpoint.config)
    if conversations:
        frontend.warm()
    phases["open"] = time.perf_counter() - started
    started = time.perf_counter()
    where, ranks = pick_device(device), None
    kind = pick_dtype(dtype, where)
    wanted = engine_config(settings or {}, where, config.num_nextn_predict_layers > 0)
    set_threads(checkpoint.total_bytes, where, layout.world)
    share(config, layout)  # before others are started in vain
    check_tiers(wanted, layout)
    check_meter(wanted, layout, where)
    packed, shard = wanted.four_bits == "packed", None
    if layout.world > 1:
        where, place = own_gpu(where, layout), meeting_place() if where.type == "cuda" or GLOO else None
        if where.type == "cuda":
            log.warning("several GPUs have not been measured yet: docs/parallel.md says what to expect")
        told = {"device": where.type, "dtype": str(kind).removeprefix("torch."), "packed": packed}
        ranks = Ranks(RANK, layout, place, model=str(path), **told)
    try:
        if ranks is not None:
            try:
                exchange = open_exchange(ranks.lines, layout, ranks.place, where, GRAPH_SIZES[-1], config.hidden_size)
            except RankLost:
                raise ranks.lost() from None
            shard = Shard(layout, exchange)
        with compiling(own_values(checkpoint.config, config, layout), where, wanted) as wait:
            weights = load_transformer(checkpoint, where, kind, progress, shard, packed)
            if ranks is not None:
                ranks.wait("loaded")
            phases["weights"] = time.perf_counter() - started
            started = time.perf_counter()
            if wait(on_compile):
                phases["kernels"] = time.perf_counter() - started
    except BaseException:
        if ranks is not None:
            ranks.close()
            close_group()
        raise
    return LoadedModel.of(frontend, weights, phases, ranks)


def check_tiers(config: EngineConfig, layout: Layout) -> None:
    """
    Raises:
        EngineConfigError: tiers below the pool of pages, which only rank 0 would fill, where there are several ranks.
    """
    if layout.world > 1 and config.host_cache_gb is not None:
        raise EngineConfigError(f"host_cache_gb is for one rank as yet, not for {layout.name}; leave it out")


def check_meter(config: EngineConfig, layout: Layout, device: torch.device) -> None:
    """
    Raises:
        EngineConfigError: a meter over several GPUs, whose other ranks would capture no twins of their graphs.
    """
    if layout.world > 1 and config.meter and device.type == "cuda":
        raise EngineConfigError(f"meter is for one GPU as yet, not for {layout.name}; leave it out")


def load_share(
    path: Path, layout: Layout, lines: Lines, place: int | None, device: str, dtype: str, packed: bool
) -> tuple[LoadedModel, Exchange]:
    """In another process than rank 0's: a rank's share of what that has opened, and its exchange with the others.

    Args:
        lines, place: as `join` gives them.
        device: of the ranks, as rank 0 has chosen; on GPUs each has one of its own.
        dtype: a name but "auto", likewise.
        packed: as `load_transformer` has it.

    Raises:
        HopwellError: as `load_model`.
    """
    checkpoint, where = Checkpoint.open(path), own_gpu(pick_device(device), layout)
    set_threads(checkpoint.total_bytes, where, layout.world)
    frontend = Frontend.open(path, None, path.name, checkpoint.config)
    width = config_of(checkpoint).hidden_size
    exchange = open_exchange(lines, layout, place, where, GRAPH_SIZES[-1], width)
    weights = load_transformer(checkpoint, where, pick_dtype(dtype, where), None, Shard(layout, exchange), packed)
    return LoadedModel.of(frontend, weights, {}), exchange


@contextmanager
def compiling(
    values: dict[str, Any], device: torch.device, config: EngineConfig
) -> Iterator[Callable[[Progress | None], int]]:
    """Compiles the kernels of a model's steps in other processes while weights are read; gives the function that waits
    for them and returns how many there were. Without a GPU that they are for, or with all of them in the cache, there
    are none."""
    settings = model_settings(config)
    if device.type != "cuda" or not has_kernels(device):
        yield lambda progress: 0
        return
    from hopwell.model.warm import WarmError, Warming  # Triton is a GPU's dependency

    with Warming(values, Device.of(device), settings, config.max_batch_tokens) as warming:

        def wait(progress: Progress | None) -> int:
            try:
                return warming.wait(progress)
            except WarmError as error:  # each will be compiled when it is first wanted
                log.warning("%s", error)
                return 0

        yield wait
