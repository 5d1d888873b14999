"""`hopwell serve`: the HTTP API."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hopwell.cli import sampling as opt


def serve(
    model: Annotated[str | None, typer.Argument(help="A checkpoint's folder or hub name; default: nano.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8000,
    name: Annotated[str | None, typer.Option(help="The model's name in the API.")] = None,
    api_keys: Annotated[Path | None, typer.Option(help="TOML file of tenants and keys.")] = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    max_seqs: Annotated[int | None, typer.Option(min=1, help="Sequences that run at once.")] = None,
    max_batch_tokens: Annotated[int | None, typer.Option(min=1, help="Rows of one step.")] = None,
    max_model_len: Annotated[int | None, typer.Option(min=1, help="Prompt and answer together.")] = None,
    max_waiting: Annotated[int | None, typer.Option(min=1, help="More than these are refused.")] = None,
    cache_tokens: Annotated[int | None, typer.Option(min=64, help="Size of the latent cache.")] = None,
    cache_dtype: Annotated[str | None, typer.Option(help="Latent cache: auto, bfloat16 or fp8.")] = None,
    activations: opt.Activations = None,
    drafts: Annotated[int | None, typer.Option(min=0, max=3, help="Of the MTP layer, a step.")] = None,
    prefix_cache: Annotated[bool, typer.Option(help="Reuse the latents of known prefixes.")] = True,
    overlap: Annotated[bool | None, typer.Option(help="Schedule a step while the device runs another.")] = None,
    graphs: Annotated[bool | None, typer.Option(help="Replay small steps as CUDA graphs.")] = None,
    deterministic: Annotated[bool | None, typer.Option(help="Tokens do not depend on the batch.")] = None,
    forced_acceptance: Annotated[float | None, typer.Option(help="Benches only: tokens a step.")] = None,
    max_body_mib: Annotated[int, typer.Option(min=1, help="Largest body, in MiB.")] = 32,
    write_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds a client may not read.")] = 60.0,
    drain_timeout: Annotated[float, typer.Option(min=0.0, help="Seconds to finish after SIGTERM.")] = 60.0,
    stream_interval: Annotated[int, typer.Option(min=1, help="Tokens a chunk of a stream.")] = 1,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Origin whose pages may call, as https://a.example or *; repeatable.")
    ] = None,
) -> None:
    """Serve a model: OpenAI's and Anthropic's APIs, and a chat page at /."""
    started = time.perf_counter()
    from hopwell.cli.progress import byte_progress, kernel_progress
    from hopwell.engine.loading import LoadedModel, load_model
    from hopwell.server.run import serve as run
    from hopwell.server.settings import ServerSettings, read_keys

    settings = ServerSettings(
        max_body_bytes=max_body_mib << 20,
        write_timeout=write_timeout,
        drain_timeout=drain_timeout,
        stream_interval=stream_interval,
        cors_origins=tuple(cors_origin or ()),
    )

    def load() -> LoadedModel:
        # no line after the bar: the log on stderr is JSON, and the block on stdout tells the seconds
        with kernel_progress() as on_compile, byte_progress("Loading", None) as progress:
            return load_model(model, device, dtype, progress, on_compile)

    run(
        load,
        host=host,
        port=port,
        name=name,
        settings=settings,
        tenants=read_keys(api_keys) if api_keys is not None else (),
        imports=time.perf_counter() - started,
        max_seqs=max_seqs,
        max_batch_tokens=max_batch_tokens,
        max_model_len=max_model_len,
        max_waiting=max_waiting,
        cache_tokens=cache_tokens,
        cache_dtype=cache_dtype,
        activations=activations,
        drafts=drafts,
        prefix_cache=prefix_cache,
        overlap=overlap,
        graphs=graphs,
        deterministic=deterministic,
        forced_acceptance=forced_acceptance,
    )
