"""A checkpoint's texts: tokenizer, chat template, recommended sampling. All that an API needs of a model, without its
weights and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hopwell.chat.formats import detect
from hopwell.chat.template import ChatTemplate, NoTemplateError, TemplateError
from hopwell.checkpoint.files import GGUF, read_config, read_json
from hopwell.engine.prompt import Prompts
from hopwell.engine.request import RequestError, SamplingParams
from hopwell.engine.tokenizer import Tokenizer
from hopwell.engine.typed import shown
from hopwell.errors import HopwellError
from hopwell.model import NANO, place_of
from hopwell.model.hub import HubError, fetch
from hopwell.model.reading import ConfigError, FieldReader

SMALL_FILES = ["*.json", "*.jinja", "tiktoken.model"]


class ModelError(HopwellError):
    """The model named by the user cannot be had."""


@dataclass(kw_only=True)
class Frontend:
    """One model's texts."""

    name: str
    path: Path
    tokenizer: Tokenizer
    eos_token_ids: tuple[int, ...]
    default_params: SamplingParams
    """Sampling as the model's authors recommend it (generation_config.json)."""
    chat_template: Path | None = None
    """A file in place of the checkpoint's own."""

    @classmethod
    def open(
        cls,
        path: Path,
        chat_template: Path | None = None,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Frontend:
        """Reads a checkpoint's texts.

        Args:
            path: its folder, as `resolve` gives it.
            chat_template: a Jinja file in place of the checkpoint's chat template.
            name: None: the folder's.
            config: config.json, if it has been read.

        Raises:
            HopwellError: a file is missing or malformed; one line that names it.
        """
        params, ends = _generation(path, read_config(path / "config.json") if config is None else config)
        tokenizer = Tokenizer.open(path, trusted=path == NANO)
        return cls(
            name=name or path.name,
            path=path,
            tokenizer=tokenizer,
            eos_token_ids=ends,
            default_params=params,
            chat_template=chat_template,
        )

    @cached_property
    def template(self) -> ChatTemplate:
        """The checkpoint's chat template, read on first use."""
        return ChatTemplate.open(self.path, self.chat_template)

    @cached_property
    def prompts(self) -> Prompts:
        """What makes prompts of conversations.

        Raises:
            TemplateError: the checkpoint has no chat template.
        """
        return Prompts(self.template, self.tokenizer, self.reply_format)

    @cached_property
    def reply_format(self) -> str | None:
        """How this checkpoint writes tool calls (a name of `chat.formats`); None if it calls none."""
        try:
            source = self.template.source
            _ = self.template.variables  # a template that is none is told of now
        except NoTemplateError:  # V3.2 comes without one
            source = ""
        return detect(source, lambda token: self.tokenizer.inner.token_to_id(token) is not None)

    def warm(self) -> None:
        """Starts the child process that renders the template. A fault of `chat_template` is told now; one of the
        checkpoint's, when the template is needed.

        Raises:
            TemplateError: `chat_template` cannot be used.
        """
        try:
            if self.chat_template is not None:
                _ = self.template.variables
            self.template.warm()
        except TemplateError:
            if self.chat_template is not None:
                raise


def _generation(folder: Path, config: Mapping[str, Any]) -> tuple[SamplingParams, tuple[int, ...]]:
    """How the model's authors advise to sample (generation_config.json), and the tokens that end an answer: those of
    that file, or else of config.json.

    Raises:
        CheckpointError, ConfigError: a file cannot be read, or holds what cannot be; the message names the field.
    """
    path = folder / "generation_config.json"
    found = read_json(path) if path.exists() else {}
    read = FieldReader(found, file=str(path))
    vocabulary = size if isinstance(size := config.get("vocab_size"), int) else None
    ends = read.token_ids("eos_token_id", vocabulary) or FieldReader(config).token_ids("eos_token_id", vocabulary)
    params: dict[str, Any] = {}
    for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
        if found.get(name) is not None:
            params[name] = read.number(name, 0.0, 1e6)
    if found.get("top_k") is not None:  # -1 and 0: all, by other engines' ways to write it
        params["top_k"] = max(0, read.integer("top_k", -1, 1 << 31))
    try:
        sampling = SamplingParams(**params)
    except RequestError as error:
        raise ConfigError(f"{path}: {error}; mend the file") from None
    if not read.boolean("do_sample", False):
        sampling = SamplingParams(temperature=0.0, repetition_penalty=sampling.repetition_penalty)
    return sampling, ends


def name_of(model: str | Path | None) -> str:
    """What a model is called that the user has named so: the last part of it; the embedded one is nano."""
    return "nano" if model is None else str(model).rstrip("/").split("/")[-1]


def folder_here(model: str | Path | None) -> Path | None:
    """The folder of a model that is here; None: it has a name of the hub's, which is not asked.

    Raises:
        ModelError: it is neither.
    """
    if not isinstance(model, str | Path | None):
        raise ModelError(f"model is {shown(model)}; give a folder, a hub name, or nothing for nano")
    if model is not None and not str(model).strip():
        raise ModelError("the model's name is empty; give a folder, a hub name, or nothing for nano")
    path = place_of(model).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        if path.suffix == ".gguf":
            raise ModelError(f"{path} {GGUF}")
        raise ModelError(f"{path} is a file; give the folder of the checkpoint")
    if str(model).count("/") != 1 or str(model).startswith((".", "/", "~")):
        from hopwell.model.shipped import shipped_config  # torch: an API process, which has none, gets a folder

        if shipped_config(str(model)) is not None:
            raise ModelError(f"{model} is a shipped config without weights; give a folder, or a hub name")
        raise ModelError(f"{model}: no such folder, and not a hub name such as deepseek-ai/DeepSeek-R1")
    return None


def resolve(model: str | Path | None) -> Path:
    """The folder of a model: itself, the embedded one, or a download from the hub.

    Raises:
        ModelError: there is no such folder and the hub has no such model, or cannot be reached.
    """
    if (folder := folder_here(model)) is not None:
        return folder
    try:
        _check_small_files(fetch(str(model), SMALL_FILES), str(model))
        return fetch(str(model), [*SMALL_FILES, "*.safetensors"], again=True)
    except HubError as error:
        raise ModelError(f"{model}: no such folder here, and the hub does not give it: {error}") from None


def _check_small_files(folder: Path, name: str) -> None:
    """Refuses a model of the hub before its weights are fetched, which may be a terabyte.

    Raises:
        ConfigError, CheckpointError: its config cannot be honoured.
        ModelError: there is nothing that a tokenizer can be made of.
    """
    from hopwell.model.config import ModelConfig  # it brings torch, which an API does without

    ModelConfig.from_dict(read_config(folder / "config.json"))
    if not any((folder / file).exists() for file in ("tokenizer.json", "tiktoken.model")):
        raise ModelError(f"{name}: has neither a tokenizer.json nor a tiktoken.model; put one into a copy of it")
