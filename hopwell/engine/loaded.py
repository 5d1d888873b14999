"""A model in memory, and the engines that run it: what each engine sets the model up as, and what watches its steps."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from hopwell.engine.config import EngineConfig, EngineConfigError
from hopwell.engine.defaults import cache_pages, engine_config, model_settings
from hopwell.engine.describe import matrix_dtypes, weight_bytes
from hopwell.engine.device import gpu_uuid
from hopwell.engine.energy import NO_COUNTER, EnergyMeter, RowCosts, find_counter, usual_rates
from hopwell.engine.engine import Engine
from hopwell.engine.frontend import Frontend
from hopwell.engine.meter import StepMeter, measure_rates, recorder_for
from hopwell.engine.parallel import ParallelModel
from hopwell.engine.start import Limit
from hopwell.engine.thermal import ThermalWatch
from hopwell.limits.board import read_board
from hopwell.limits.meter import Rates
from hopwell.model import forward_choice
from hopwell.model.transformer import Transformer
from hopwell.ops.alike import rows_are_summed_alike
from hopwell.ops.device import PLAIN, Device
from hopwell.parallel.group import close_group
from hopwell.parallel.launch import Ranks
from hopwell.parallel.layout import Layout
from hopwell.quantization.cache_format import decided_scales

if TYPE_CHECKING:
    from hopwell.engine.runnable import Model

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class LoadedModel(Frontend):
    """A checkpoint in memory, ready to be given to an `Engine`."""

    model: Transformer
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds that each part of the start took."""
    limits: dict[str, Limit] = field(default_factory=dict)
    """The least that parts of it can take, where that was measured."""
    ranks: Ranks | None = None
    """The other ranks, where several share the model; `model` is rank 0's share, and has the exchange with them."""
    engines: int = 0
    """That were made."""

    @classmethod
    def of(
        cls,
        frontend: Frontend,
        model: Transformer,
        phases: dict[str, float],
        ranks: Ranks | None = None,
        limits: dict[str, Limit] | None = None,
    ) -> LoadedModel:
        """A model with the texts that were read before it."""
        texts = {field.name: getattr(frontend, field.name) for field in fields(frontend)}
        loaded = cls(**texts, model=model, phases=phases, limits=limits or {}, ranks=ranks)
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
        check_ranks(config, self.layout)
        started, before = time.perf_counter(), dict(self.phases)
        c = self.model.config
        model = self.set_up(config)
        runnable = self._over_ranks(self._runnable(model, config), config)
        engine = Engine(
            runnable,
            config,
            model_len=c.max_position_embeddings,
            num_pages=cache_pages(model, config),
            pools=model.layout.pools,
            vocab_size=c.vocab_size,
            eos_token_ids=self.eos_token_ids,
            tokenizer=self.tokenizer,
            meter=self.meter(model, config),
            energy=self._energy(model, config),
            thermal=self._thermal(config),
        )
        if self.ranks is not None:
            self.ranks.when_lost(engine.fail)
        within = sum(took for phase, took in self.phases.items() if before.get(phase) != took)
        self.phases["cache"] = time.perf_counter() - started - within
        return engine

    def meter(self, model: Transformer, config: EngineConfig) -> StepMeter | None:
        """What measures an engine's steps, where it is wanted; of several ranks this one's.

        Args:
            model: this rank's share, set up for `config`.
        """
        return StepMeter(model, self.rates, recorder_for(model), config.overlap) if config.meter else None

    def _energy(self, model: Transformer, config: EngineConfig) -> EnergyMeter | None:
        """What shares joules among requests.

        Raises:
            EngineConfigError: it was asked for, and there is no counter.
        """
        if not config.energy and (config.energy is False or model.device.type == "cuda"):
            return None
        counter = find_counter(self._devices)
        if counter is None:
            if config.energy:
                raise EngineConfigError(
                    f"energy: {NO_COUNTER}; leave out --energy, --grams-per-kwh and --price-per-kwh"
                )
            return None
        return EnergyMeter(counter, RowCosts(model, usual_rates(model.device) or self.rates))

    @property
    def _devices(self) -> list[torch.device]:
        """All ranks'; on a CPU they share one."""
        own = self.model.device
        if self.ranks is None or own.type != "cuda":
            return [own]
        return [torch.device("cuda", number) for number in range(self.layout.world)]

    def _thermal(self, config: EngineConfig) -> ThermalWatch | None:
        """What watches the degrees of all ranks' GPUs.

        Raises:
            EngineConfigError: they have a limit, and cannot be read.
        """
        if config.max_degrees is None:
            return None
        uuids = [gpu_uuid(device) for device in self._devices]
        return ThermalWatch(lambda: [read_board(uuid) for uuid in uuids], config.max_degrees)

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
        """This rank's share of what a runner steps: the model set up for an engine, behind captured graphs where they
        are wanted and can be had.

        Raises:
            HopwellError: a setting cannot be honoured with this model on this device.
        """
        return self._runnable(self.set_up(config), config)

    def runnable_over_ranks(self, config: EngineConfig) -> Model:
        """What a runner steps, all ranks' shares together.

        Raises:
            HopwellError: as `runnable`.
        """
        check_ranks(config, self.layout)
        return self._over_ranks(self.runnable(config), config)

    def _over_ranks(self, own: Model, config: EngineConfig) -> Model:
        if self.ranks is None:
            return own
        self.engines += 1
        assert self.model.exchange is not None
        return ParallelModel(own, self.ranks, self.model.exchange, self.engines, config)

    def set_up(self, config: EngineConfig) -> Transformer:
        """This rank's share of the model as an engine uses it.

        Raises:
            HopwellError: a setting cannot be honoured with this model on this device.
        """
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


def check_ranks(config: EngineConfig, layout: Layout) -> None:
    """
    Raises:
        EngineConfigError: tiers below the pool of pages, and ranks that each have pages of their own.
    """
    if not layout.dp_attention:
        return
    for name in ("host_cache_gb", "page_store"):
        if getattr(config, name) is not None:
            raise EngineConfigError(
                f"{name} is for ranks that all have the same pages, not for {layout.name}; leave it out, or"
                " --dp-attention"
            )
