"""Models of the Hugging Face hub: that it is asked is said at once, as a mistyped folder is told by nothing else."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)


class HubError(Exception):
    """Why the hub gave nothing, in one line."""


def fetch(model: str, files: Sequence[str], again: bool = False) -> Path:
    """A folder with those of a model's files that match; what was fetched before is not fetched again.

    Args:
        again: the hub has been asked for some of it, and that was said.

    Raises:
        HubError: the hub has no such model, or cannot be reached.
    """
    from huggingface_hub import constants, snapshot_download

    if not again and not constants.HF_HUB_OFFLINE:
        log.warning("no folder %s here; asking the hub for it", model)
    try:
        return Path(snapshot_download(model, allow_patterns=list(files)))
    except Exception as error:  # the hub's errors have no common base
        raise HubError(_reason(error)) from None


def _reason(error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    if isinstance(error, LocalEntryNotFoundError):  # it fell back to what was fetched before, and there is nothing
        if constants.HF_HUB_OFFLINE:
            return "HF_HUB_OFFLINE keeps it from being asked"
        return f"it cannot be reached: {_first_line(error.__cause__ or error)}"
    if isinstance(error, RepositoryNotFoundError):
        return "it has no such model, or shows it only to others"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]
