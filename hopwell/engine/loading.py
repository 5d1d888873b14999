"""From a folder or a hub name to a model in memory, with its tokenizer; on several ranks, to each one's share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hopwell.checkpoint.rate import read_rate
from hopwell.checkpoint.synthetic import SyntheticWeights
from hopwell.engine.config import EngineConfig
from hopwell.engine.defaults import engine_config, model_settings
from hopwell.engine.device import link_rate, own_gpu, pick_device, pick_dtype, set_threads
from hopwell.engine.fitting import check_memory, check_room
from hopwell.engine.frontend import Frontend, ModelError, name_of, resolve
from hopwell.engine.loaded import LoadedModel, check_ranks
from hopwell.engine.parallel import RANK
from hopwell.engine.start import Limit
from hopwell.engine.typed import misfit
from hopwell.engine.weights import Weights, config_of, dtype_for, files_of, load_weights, open_weights
from hopwell.model.shape_classes import GRAPH_SIZES
from hopwell.model.sharding import Shard, share
from hopwell.model.snapshot import Progress, Snapshot
from hopwell.ops.device import Device, has_kernels
from hopwell.ops.exchange import Exchange
from hopwell.parallel.group import close_group, meeting_place, open_exchange
from hopwell.parallel.launch import Lines, Ranks
from hopwell.parallel.layout import ONE_RANK, Layout
from hopwell.parallel.memory import RankLost
from hopwell.system import memory_bytes

log = logging.getLogger(__name__)
GIVEN = {
    "device": str, "dtype": str, "tp": int, "ep": int, "dp_attention": bool, "chat_template": Path | None,
}  # fmt: skip
"""What a caller names, with its type."""
GLOO = False
"""Whether ranks on CPUs exchange through a process group, as those on GPUs do; tests ask for it."""


def load_model(
    model: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    progress: Progress | None = None,
    on_compile: Progress | None = None,
    chat_template: Path | None = None,
    conversations: bool = True,
    settings: Mapping[str, Any] | None = None,
    tp: int = 1,
    ep: int = 1,
    dp_attention: bool = False,
    copies: int = 1,
    start_budget: float | None = None,
) -> LoadedModel:
    """Opens and loads a model; for a GPU its kernels are compiled meanwhile, where they were not before.

    For a small model on a CPU, PyTorch's threads in this process are set to one, unless OMP_NUM_THREADS is set.

    Args:
        model: a checkpoint's or a snapshot's folder, a name on the Hugging Face hub, or None for the embedded nano.
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU if there is one.
        dtype: "bfloat16", "float16" (of matrices alone, before float32 rows, on a CPU) or "float32"; "auto" is
            bfloat16 wherever the device computes in it, else float16 where the CPU multiplies that; of a snapshot its
            own.
        progress: called with bytes read, bytes in all and the tensor's name.
        on_compile: called, once weights are there, with kernels compiled, kernels in all and the kernel's name.
        chat_template: a Jinja file in place of the checkpoint's chat template.
        conversations: what renders the template is started; False where another process renders.
        settings: of the engine to come, as `LoadedModel.config` takes them: what cannot be is said before weights are
            read, and kernels are compiled for them.
        tp: ranks that share every layer: this process, and others that it starts.
        ep: 1, or `tp`: each has whole routed experts in place of a part of each.
        dp_attention: each rank attends for, and caches, sequences of its own.
        copies: of the model that share this machine's cores, in other processes.
        start_budget: seconds that a start should take: what weights take at the least is measured, and said at once if
            that is more. Nothing is left out for it.

    Raises:
        ModelError, CheckpointError, ConfigError, TemplateError, LayoutError: one line that names the culprit.
        EngineConfigError, ActivationsError, CacheFormatError, FourBitsError: a setting cannot be honoured.
        RankLost: another rank could not load its share.
    """
    given = {"device": device, "dtype": dtype, "tp": tp, "ep": ep, "dp_attention": dp_attention}
    if wrong := misfit(GIVEN, {**given, "chat_template": chat_template}):
        raise ModelError(wrong[1])
    layout, phases, started = Layout.of(tp, ep, dp_attention), dict[str, float](), time.perf_counter()
    limits = dict[str, Limit]()
    path = resolve(model)
    checkpoint = open_weights(path)
    config = config_of(checkpoint)
    for warning in config.warnings:
        log.warning("%s", warning)
    if isinstance(checkpoint, SyntheticWeights):
        log.warning("%s: weights are random, drawn with seed %d; answers mean nothing", path, checkpoint.seed)
    frontend = Frontend.open(path, chat_template, name_of(model), checkpoint.config)
    if conversations:
        frontend.warm()
    phases["open"] = time.perf_counter() - started
    started = time.perf_counter()
    where = pick_device(device)
    wanted = engine_config(settings or {}, where, config.num_nextn_predict_layers > 0)
    packed = wanted.four_bits == "packed"
    kind = dtype_for(checkpoint, dtype, where, packed, layout)
    set_threads(checkpoint.total_bytes, where, layout.world * copies)
    share(config, layout)  # before others are started in vain
    check_ranks(wanted, layout)
    where = own_gpu(where, layout)
    if isinstance(checkpoint, Snapshot):
        pass  # as large as its files, and mapped on a CPU
    elif where.type == "cuda":
        check_room(checkpoint, config, layout, packed, torch.cuda.mem_get_info(where)[0])
    elif where.type == "cpu":
        check_memory(checkpoint, config, layout, kind, memory_bytes())
    if start_budget is not None and (limit := _weights_limit(checkpoint, where)) is not None:
        limits["weights"] = limit
        phases["rates"], started = time.perf_counter() - started, time.perf_counter()
        if limit.seconds > start_budget:
            log.warning("start_budget: weights alone take longer than %g s: %s", start_budget, limit.describe())
    ranks = _start_ranks(path, layout, where, kind, packed) if layout.world > 1 else None
    try:
        with compiling(checkpoint.config, where, wanted, layout) as wait:
            shard = None if ranks is None else _own_shard(ranks, where, config.hidden_size)
            weights = load_weights(checkpoint, where, kind, progress, shard, packed)
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
    return LoadedModel.of(frontend, weights, phases, ranks, limits)


def _weights_limit(weights: Weights, device: torch.device) -> Limit | None:
    """What bringing weights to a device takes at the least, by the files or by the link to a GPU, whichever is slower;
    measured now. None: they are drawn, not read."""
    files, nbytes = files_of(weights)
    if not files:
        return None
    rate, link = read_rate(files), link_rate(device)
    if link is not None and link < rate:
        return Limit(nbytes, link, "over the link to the GPU")
    return Limit(nbytes, rate, "from the files as they lay")


def _start_ranks(path: Path, layout: Layout, device: torch.device, dtype: torch.dtype, packed: bool) -> Ranks:
    """The other ranks' processes, which open and load their own shares."""
    gpus = device.type == "cuda"
    told = {"device": device.type, "dtype": str(dtype).removeprefix("torch."), "packed": packed}
    ranks = Ranks(RANK, layout, meeting_place() if gpus or GLOO else None, model=str(path), **told)
    if gpus:
        from hopwell.parallel.gpus import leave_if_stuck  # Triton is a GPU's dependency

        ranks.when_lost(partial(leave_if_stuck, device))
    return ranks


def _own_shard(ranks: Ranks, device: torch.device, width: int) -> Shard:
    """Rank 0's share, once the others are there to exchange with.

    Raises:
        RankLost: one is not.
    """
    try:
        exchange = open_exchange(ranks.lines, ranks.layout, ranks.place, device, GRAPH_SIZES[-1], width)
    except RankLost:
        raise ranks.lost() from None
    return Shard(ranks.layout, exchange)


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
    checkpoint, where = open_weights(path), own_gpu(pick_device(device), layout)
    set_threads(checkpoint.total_bytes, where, layout.world)
    frontend = Frontend.open(path, None, path.name, checkpoint.config)
    width = config_of(checkpoint).hidden_size
    exchange = open_exchange(lines, layout, place, where, GRAPH_SIZES[-1], width)
    weights = load_weights(checkpoint, where, pick_dtype(dtype, where), None, Shard(layout, exchange), packed)
    return LoadedModel.of(frontend, weights, {}), exchange


@contextmanager
def compiling(
    values: dict[str, Any], device: torch.device, config: EngineConfig, layout: Layout = ONE_RANK
) -> Iterator[Callable[[Progress | None], int]]:
    """Compiles the kernels of a model's steps in other processes while weights are read; gives the function that waits
    for them and returns how many there were. Without a GPU that they are for, or with all of them in the cache, there
    are none."""
    settings = model_settings(config)
    if device.type != "cuda" or not has_kernels(device):
        yield lambda progress: 0
        return
    from hopwell.model.warm import WarmError, Warming  # Triton is a GPU's dependency

    with Warming(values, Device.of(device), settings, config.max_batch_tokens, layout=layout) as warming:

        def wait(progress: Progress | None) -> int:
            try:
                return warming.wait(progress)
            except WarmError as error:  # each will be compiled when it is first wanted
                log.warning("%s", error)
                return 0

        yield wait
