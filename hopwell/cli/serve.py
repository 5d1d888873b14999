"""`hopwell serve`: the HTTP API."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from hopwell.cli import options as opt
from hopwell.cli.help import in_energy, in_layout, in_memory, in_model, in_server, in_steps
from hopwell.errors import HopwellError
from hopwell.interrupts import importing
from hopwell.system import cores

CORES_A_WORKER = 8
"""Of a machine, for each API process: one streams some 15,000 tokens a second, and other work needs cores too."""


def serve(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A checkpoint's folder or hub name; default: nano.")] = None,
    host: Annotated[str, in_server(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, in_server(min=0, max=65535, help="0: any free one.")] = 8000,
    name: Annotated[
        list[str] | None,
        in_model("--name", "--served-model-name", help="The model's name in the API; several: A,B, or again."),
    ] = None,
    chat_template: opt.ChatTemplate = None,
    api_keys: Annotated[Path | None, in_server(help="TOML file of tenants and keys.")] = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    tp: opt.Tp = 1,
    ep: opt.Ep = 1,
    dp_attention: opt.DpAttention = False,
    gpus: opt.Gpus = None,
    dp: Annotated[
        int,
        in_layout(
            min=1, max=64, help="Engines, each a whole model over its own --tp ranks; without joules or disk cache."
        ),
    ] = 1,
    prefill_engines: Annotated[
        int, in_layout(min=0, max=64, help="Further engines that compute prompts, and hand their pages over.")
    ] = 0,
    max_seqs: Annotated[int | None, in_steps(min=1, help="Sequences that run at once.")] = None,
    max_batch_tokens: Annotated[int | None, in_steps(min=1, help="Rows of one step.")] = None,
    max_model_len: Annotated[int | None, in_steps(min=1, help="Prompt and answer together.")] = None,
    max_waiting: Annotated[int | None, in_steps(min=1, help="More than these are refused.")] = None,
    step_timeout: Annotated[float | None, in_steps(min=0.1, help="Seconds after which a step hangs.")] = None,
    cache_tokens: Annotated[int | None, in_memory(min=64, help="Size of the latent cache.")] = None,
    cache_dtype: Annotated[str | None, in_memory(help="Latent cache: auto, bfloat16 or fp8.")] = None,
    activations: opt.Activations = None,
    four_bits: opt.FourBits = None,
    drafts: opt.Drafts = None,
    prefix_cache: Annotated[bool, in_memory(help="Reuse the latents of known prefixes.")] = True,
    host_cache_gb: Annotated[float | None, in_memory(help="Host memory for pages that the cache gives up.")] = None,
    disk_cache: Annotated[Path | None, in_memory(help="Folder for such pages; they survive a restart.")] = None,
    disk_cache_gb: Annotated[float | None, in_memory(help="What they may take there.")] = None,
    page_store: Annotated[
        str | None, in_memory(help="Pages shared with other engines: dir:FOLDER, or MODULE:FUNCTION.")
    ] = None,
    page_store_gb: Annotated[float | None, in_memory(help="What they may take in such a folder.")] = None,
    cache_policy: Annotated[str | None, in_memory(help="What goes first: lru, arc or rai.")] = None,
    overlap: Annotated[bool | None, in_steps(help="Schedule a step while the device runs another.")] = None,
    graphs: Annotated[bool | None, in_steps(help="Replay small steps as CUDA graphs.")] = None,
    batch_invariant: Annotated[bool | None, in_steps(help="Tokens do not depend on the batch.")] = None,
    meter: Annotated[bool | None, in_energy(help="Measure one step in so many, op by op.")] = None,
    energy: Annotated[bool | None, in_energy(help="Count joules and share them among requests.")] = None,
    objective: Annotated[
        str | None, in_steps(help="What promised time is used for: latency (default), throughput or energy.")
    ] = None,
    tpot_promise_ms: Annotated[
        float | None, in_steps(help="With energy: ms a token for requests without a promise. Default: 80.")
    ] = None,
    hold_prompts: Annotated[
        bool | None, in_steps(help="With throughput or energy: prompts may wait for others.")
    ] = None,
    max_degrees: Annotated[
        int | None, in_energy(help="Celsius, by NVML: from this, or while a GPU slows itself, batch requests wait.")
    ] = None,
    grams_per_kwh: opt.Grams = None,
    price_per_kwh: opt.Price = None,
    deterministic: Annotated[bool | None, typer.Option(hidden=True)] = None,
    forced_acceptance: Annotated[float | None, in_steps(help="Benches only: tokens a step.")] = None,
    max_body_mib: Annotated[int, in_server(min=1, help="Largest body, in MiB.")] = 16,
    write_timeout: Annotated[float, in_server(min=0.1, help="Seconds a client may not read.")] = 60.0,
    head_timeout: Annotated[float, in_server(min=0.1, help="Seconds to send a request's head.")] = 15.0,
    max_connections: Annotated[int, in_server(min=1, help="Open at once.")] = 4096,
    drain_timeout: Annotated[float, in_server(min=0.0, help="Seconds to finish after SIGTERM.")] = 60.0,
    stream_interval: Annotated[int, in_steps(min=1, help="Tokens a chunk of a stream.")] = 1,
    cors_origin: Annotated[
        list[str] | None, in_server(help="Origin whose pages may call, as https://a.example or *; repeatable.")
    ] = None,
    api_workers: Annotated[
        int | None,
        in_server(min=0, max=64, help="Processes of the API; 0: all in one. Default: one for 8 cores, 1 to 4."),
    ] = None,
    start_budget: Annotated[
        float | None,
        in_server(min=0.0, help="Seconds that the start should take: says by phase what took longer, and than what."),
    ] = None,
    allowed_host: Annotated[
        list[str] | None, in_server(help="Name under which it may be called, or *; repeatable.")
    ] = None,
) -> None:
    """Serve a model: OpenAI's and Anthropic's APIs, and a chat page at /."""
    started = time.perf_counter()
    from hopwell.cli.progress import byte_progress, kernel_progress
    from hopwell.engine.config import EngineConfig
    from hopwell.server.settings import ServerSettings, read_keys

    if sys.platform == "win32" and api_workers:
        raise HopwellError("--api-workers needs Unix sockets, which Python has not on Windows; leave it out")
    settings = ServerSettings(
        max_body_bytes=max_body_mib << 20,
        write_timeout=write_timeout,
        drain_timeout=drain_timeout,
        stream_interval=stream_interval,
        cors_origins=tuple(cors_origin or ()),
        head_timeout=head_timeout,
        max_connections=max_connections,
        allowed_hosts=tuple(allowed_host or ()),
        host=host,
        grams_per_kwh=grams_per_kwh,
        price_per_kwh=price_per_kwh,
    )
    energy = opt.needs_energy(energy, grams_per_kwh, price_per_kwh)
    opt.check_gpus(ctx, gpus, "dp", "prefill_engines")
    if dp + prefill_engines > 1 and (wrong := one_engine_only(api_workers, device, energy, disk_cache)):
        raise HopwellError(f"--dp {dp}: {wrong}" if dp > 1 else f"--prefill-engines {prefill_engines}: {wrong}")
    if prefill_engines and (dp_attention or not prefix_cache):
        wrong = "ranks with pages of their own cannot hand them over as yet; leave out --dp-attention"
        wrong = wrong if dp_attention else "pages are handed over through the prefix cache; leave out --no-prefix-cache"
        raise HopwellError(f"--prefill-engines {prefill_engines}: {wrong}")

    names = list(dict.fromkeys(part.strip() for given in name or () for part in given.split(",")))
    if "" in names:
        raise HopwellError(f"--served-model-name is {','.join(name or ())!r}, which has an empty name; leave that out")
    tenants = read_keys(api_keys) if api_keys is not None else []
    if deterministic is not None:
        print("--deterministic is now --batch-invariant", file=sys.stderr)
        batch_invariant = deterministic if batch_invariant is None else batch_invariant
    # settings of the engine bear the names of their options
    engine = {field.name: ctx.params[field.name] for field in fields(EngineConfig) if field.name in ctx.params}
    engine |= {"energy": energy, "batch_invariant": batch_invariant}
    engine["drafts"] = None if drafts is None else opt.draft_setting(drafts)
    engine["disk_cache"] = None if disk_cache is None else str(disk_cache.absolute())
    engine = {setting: value for setting, value in engine.items() if value is not None}
    layout = ""
    if gpus is not None:
        from hopwell.cli.gpus import Asked, choose_apart

        choose = choose_apart
        if api_workers == 0 or sys.platform == "win32":
            from hopwell.cli.layouts import choose_here as choose
        copies = one_engine_only(api_workers, device, energy, disk_cache) is None
        chosen = choose(Asked.of(model, gpus, device, dtype, engine, copies))
        tp, ep, dp_attention, dp, layout = chosen.tp, chosen.ep, chosen.dp_attention, chosen.copies, chosen.why
    if dp + prefill_engines > 1:
        engine["energy"] = False
    # no line after the bar: the log on stderr is JSON, and the block on stdout tells the seconds
    with told_in_options(), kernel_progress() as on_compile, byte_progress("Loading", None) as progress:
        if api_workers == 0 or sys.platform == "win32":
            with importing():
                from hopwell.engine.loaded import LoadedModel
                from hopwell.engine.loading import load_model
                from hopwell.server.run import serve as run

            def load() -> LoadedModel:
                rest: dict[str, Any] = {
                    "tp": tp, "ep": ep, "dp_attention": dp_attention, "start_budget": start_budget
                }  # fmt: skip
                return load_model(model, device, dtype, progress, on_compile, chat_template, settings=engine, **rest)

            imports = time.perf_counter() - started
            run(load, port=port, names=names, settings=settings, tenants=tenants, imports=imports,
                start_budget=start_budget, layout=layout, **engine)  # fmt: skip
            return
        from hopwell.server.supervisor import Plan, supervise

        plan = Plan(
            model=model,
            chat_template=chat_template,
            device=device,
            dtype=dtype,
            tp=tp,
            ep=ep,
            dp_attention=dp_attention,
            dp=dp,
            prefill_engines=prefill_engines,
            engine=engine,
            names=names,
            settings=settings,
            tenants=tenants,
            start_budget=start_budget,
            layout=layout,
            workers=api_workers or min(4, max(1, cores() // CORES_A_WORKER)),
        )
        code = supervise(plan, port, progress, on_compile)
    raise typer.Exit(code)


@contextmanager
def told_in_options() -> Iterator[None]:
    """An engine's errors as whoever gave options knows its settings: `max_seqs` is `--max-seqs` here, and
    `hold_prompts=False` `--no-hold-prompts`."""
    from hopwell.engine.config import EngineConfig

    try:
        yield
    except HopwellError as error:
        settings = [field.name for field in fields(EngineConfig)]
        named = "|".join(name if "_" in name else f"^{name}" for name in settings)

        def option(found: re.Match[str]) -> str:
            return ("--no-" if found["off"] else "--") + found["name"].replace("_", "-")

        told = re.sub(rf"(?<![\w/-])(?P<name>{named})(?P<off>=False)?(?![\w/])", option, str(error))
        raise HopwellError(told) from None


def one_engine_only(api_workers: int | None, device: str, energy: bool | None, disk_cache: Path | None) -> str | None:
    """What of these options several engines cannot have, and the remedy; None: nothing."""
    if sys.platform == "win32":
        return "several engines need Unix sockets, which Python has not on Windows; leave it out"
    if api_workers == 0:
        return "engines have processes of their own; leave out --api-workers 0"
    if device.startswith("cuda:"):
        return (
            f"engines take GPUs in order; give --device cuda in place of {device}, and CUDA_VISIBLE_DEVICES for others"
        )
    if energy:
        return "a counter of joules is for one engine as yet; leave out --energy, --grams-per-kwh and --price-per-kwh"
    if disk_cache is not None:
        return "a folder of pages is for one engine as yet; leave out --disk-cache and --disk-cache-gb"
    return None
