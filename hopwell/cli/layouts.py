"""`--gpus N`: which layout serves a checkpoint on N GPUs of this host, or N processes of a CPU, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from hopwell.checkpoint.audit import by_module, kind_of
from hopwell.cli.gpus import Asked, Chosen
from hopwell.control import as_child
from hopwell.engine.device import ONE_THREAD_BELOW, pick_device, pick_dtype
from hopwell.engine.fitting import plain_weights
from hopwell.engine.frontend import resolve
from hopwell.engine.layouts import OF_EACH, WHICH, Held, Place, Way, hypothetical, size, ways
from hopwell.engine.weights import config_of, open_weights
from hopwell.errors import HopwellError
from hopwell.formats.labels import Label
from hopwell.limits.catalogue import Gpu, recognise
from hopwell.limits.pacing import OBJECTIVES
from hopwell.model.config import ModelConfig
from hopwell.model.footprint import Weights, latent_bytes, weight_bytes
from hopwell.model.inventory import inventory
from hopwell.model.shipped import find_config, shipped_config
from hopwell.model.snapshot import Snapshot
from hopwell.parallel.layout import Layout
from hopwell.planner.choice import Served, question_of, ranked, words
from hopwell.planner.engines import FOUR_BITS
from hopwell.planner.layout import Layout as Planned
from hopwell.planner.model import model_of
from hopwell.planner.question import Option
from hopwell.planner.search import rank_key
from hopwell.planner.work import distinct_experts
from hopwell.system import memory_bytes

Values = Mapping[str, Any]
SEQUENCES = {"latency": 1, "throughput": 256, "energy": 256}
"""That a step has, where bytes alone decide."""
MORE = 1.2
"""Times as many cached tokens are more."""
CONTEXT = 1500
"""Tokens that each of them has cached then, half-way through an answer of `planner.choice.LOAD`."""


def choose(asked: Asked, held: Held, values: Values, place: Place, gpu: Gpu | None, gpu_name: str = "") -> Chosen:
    """The best way to run a model on so many devices for an objective. Pure.

    Args:
        values: config.json, for the planner.
        gpu: of the catalogue; None: a CPU, or a GPU that is not in it.
        gpu_name: as the driver has it.

    Raises:
        LayoutError: as `ways`.
        HopwellError: the objective is unknown.
    """
    if asked.objective not in OBJECTIVES:
        raise HopwellError(f"--objective is {asked.objective!r}; known: {', '.join(OBJECTIVES)}")
    possible = ways(held, place, asked.gpus, asked.copies)
    if asked.tiers:
        possible = [way for way in possible if not way.layout.dp_attention] or possible
    found = _by_planner(asked, held, values, place, gpu, possible) if gpu is not None else None
    best, because = found or _by_bytes(asked, held, place, possible, gpu_name)
    each = size(held.weights.on_each(best.layout))
    where = f"{asked.gpus} {WHICH[place.kind]}, {each} a {OF_EACH[place.kind]}"
    layout = best.layout
    ep = layout.tp if layout.ep else 1
    return Chosen(layout.tp, ep, layout.dp_attention, best.copies, f"{best.name} ({where}; {because})")


def _by_planner(
    asked: Asked, held: Held, values: Values, place: Place, gpu: Gpu, possible: Sequence[Way]
) -> tuple[Way, str] | None:
    """As `hopwell plan` ranks them; None where it foresees nothing of any that runs."""
    model = model_of(values, asked.model or "nano")
    expanded = model.stored in FOUR_BITS and asked.four_bits != "packed"
    served = Served(
        model=model, gpu=gpu, precision="bf16" if expanded else model.stored,
        cache="fp8" if asked.cache_dtype == "fp8" else "bf16", objective=asked.objective,
        mtp=asked.drafts != 0 and held.config.num_nextn_predict_layers > 0, tpot_ms=asked.tpot_promise_ms,
    )  # fmt: skip
    runs = {_as_planned(way.layout): way for way in possible}
    options = ranked(served, list(runs))
    if not options:
        return None
    best = runs[options[0].layout]
    told = [f"by the planner {words(asked.objective, options[0], best.copies)}"]
    if len(options) > 1:
        other = runs[options[1].layout]
        told.append(f"{other.name} {words(asked.objective, options[1], other.copies)}")
    refused = {_as_planned(layout): layout for layout in hypothetical(held, place, asked.gpus)}
    if (other := _worth_telling(ranked(served, list(refused)), options[0], served)) is not None:
        more = other.memory.tokens / (options[0].memory.tokens * best.copies)
        holds = f" and hold {more:.1f}x the cached tokens" if more > MORE else ""
        told.append(
            f"{refused[other.layout].name}, refused on GPUs as yet, would take {words(asked.objective, other)}{holds}"
        )
    return best, "; ".join(told)


def _worth_telling(refused: Sequence[Option], best: Option, served: Served) -> Option | None:
    """Of options that this version refuses: the best, if it is better than what runs; else the one that would hold most
    tokens, if that is more."""
    if not refused:
        return None
    question = question_of(served, ())
    if rank_key(question, refused[0]) < rank_key(question, best):
        return refused[0]
    roomy = max(refused, key=lambda option: option.memory.tokens)
    return roomy if roomy.memory.tokens > MORE * best.memory.tokens else None


def _by_bytes(asked: Asked, held: Held, place: Place, possible: Sequence[Way], gpu_name: str) -> tuple[Way, str]:
    """Where the planner knows no kernels' times, what a step reads decides: of a CPU's memory all ranks together, of a
    GPU's each its own."""
    if place.kind == "cuda":
        best = possible[0] if asked.objective == "latency" else possible[-1]
        most = "each reads the least a step" if asked.objective == "latency" else "they exchange the least"
        return best, f"{gpu_name or 'the GPU'} is not in the planner's catalogue, and so {most}"
    if held.weights.total < ONE_THREAD_BELOW and asked.copies:
        best = max(possible, key=lambda way: way.copies)
        if best.layout.world == 1:
            return best, "a step of so small a model is shorter than ranks' exchanges would make it"
    sequences = SEQUENCES[asked.objective]
    reads = {way: _reads(held, way, sequences) for way in possible}
    order = sorted(possible, key=lambda way: reads[way])  # stable: of equals the first
    users = "one user" if sequences == 1 else f"{sequences} users"
    told = f"a step for {users} reads {size(reads[order[0]])} of the memory that they share"
    more = f"; {order[1].name} {size(reads[order[1]])}" if len(order) > 1 else ""
    return order[0], told + more


def _reads(held: Held, way: Way, sequences: int) -> float:
    """Bytes that all ranks together read in a decode step of each engine, `sequences` over all of them."""
    config, weights, layout = held.config, held.weights, way.layout
    mine = max(1, sequences // way.copies)
    experts = distinct_experts(config.n_routed_experts, config.router.top_k, mine) / config.n_routed_experts
    embedding = 2 * config.vocab_size * config.hidden_size
    copied = max(0, weights.copied - embedding) * layout.world
    attention = weights.attention * (layout.world if layout.dp_attention else 1)
    latents = mine * CONTEXT * latent_bytes(config) * (1 if layout.dp_attention else layout.world)
    return way.copies * (copied + attention + weights.cut + weights.routed * experts + latents)


def _as_planned(layout: Layout) -> Planned:
    """A layout in the planner's terms."""
    n = layout.world
    heads, groups = (1, n) if layout.dp_attention else (n, 1)
    return Planned(heads, groups, *((1, n) if layout.ep else (n, 1)))


def choose_here(asked: Asked) -> Chosen:
    """For the devices of this machine, as they are now.

    Raises:
        HopwellError: the model or the device cannot be had, or as `choose`.
    """
    device = pick_device(asked.device)
    if device.index is not None and asked.gpus > 1:
        raise HopwellError(f"--gpus {asked.gpus}: ranks take GPUs in order; give --device cuda in place of {device}")
    held, values = _held(asked, device.type)
    if device.type != "cuda":
        return choose(asked, held, values, Place("cpu", memory_bytes()), None)
    name = torch.cuda.get_device_name(device)
    place = Place("cuda", torch.cuda.mem_get_info(device)[0], torch.cuda.device_count())
    return choose(asked, held, values, place, recognise(name), name)


def _held(asked: Asked, kind: str) -> tuple[Held, Values]:
    """A model as devices of a kind will hold it, and its config.json: of a checkpoint by its headers, or by what a
    config says alone."""
    labels = dict[str, str]()
    named = Path(asked.model or "")
    shipped = asked.model is not None and not named.exists() and shipped_config(asked.model) is not None
    if shipped or named.is_file():
        values = find_config(asked.model)
        config = ModelConfig.from_dict(values)
        if config.weight_block_size is None:
            found = {spec.module: config.quantization.format_of(spec.module) for spec in inventory(config)}
            labels = {module: label or Label.PLAIN for module, label in found.items()}
    else:
        weights = open_weights(resolve(asked.model))
        config, values = config_of(weights), weights.config
        if isinstance(weights, Snapshot):
            most = max(part.nbytes for part in weights.parts)
            return Held(config, Weights(0, 0, most, 0), packed_for=weights.target.layout), values
        labels = {name: kind_of(module) for name, module in by_module(weights.tensors.values()).items()}
    if kind == "cuda":
        packed = asked.four_bits == "packed"
        weights = weight_bytes(inventory(config), labels or None, packed, config.quantization)
        return Held.on_gpus(config, weights, labels, packed), values
    return Held(config, plain_weights(config, pick_dtype(asked.dtype, torch.device("cpu")))), values


def main() -> None:
    """Entry of that process: its parent sends `start`; it answers `chosen`, or `failed` and why."""
    control, start = as_child()
    try:
        control.send("chosen", **asdict(choose_here(Asked(**start.fields))))
    except HopwellError as error:
        control.send("failed", reason=str(error))
    control.receive()  # until the parent ends this
