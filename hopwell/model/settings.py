"""How an engine uses a model's weights: fixed before they are loaded, and never changed after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hopwell.errors import HopwellError
from hopwell.limits.catalogue import Gpu
from hopwell.model.activations import check_activations, with_activations
from hopwell.model.latent_cache import check_cache, with_cache
from hopwell.model.transformer import Transformer
from hopwell.ops.paging import CacheScales

FOUR_BITS = ("expanded", "packed")


class FourBitsError(HopwellError):
    """A way to hold weights of four bits that is not known, or not that of the loaded model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Settings of a forward pass. Engines with different ones share a model's tensors, and nothing else.

    Raises:
        ActivationsError, CacheFormatError, FourBitsError: a format is unknown.
    """

    cache_dtype: str = "auto"
    """Format of the latent cache, a key of `latent_cache.CACHE_DTYPES`."""
    cache_scales: Sequence[CacheScales] | None = None
    """Of an FP8 cache, one a layer; None: bounds that follow from the weights."""
    activations: str | None = None
    """How rows enter products with FP8 weights, as `with_activations` has it."""
    four_bits: str = "expanded"
    """How a GPU holds matrices that are stored in four bits: "expanded" to bf16 when they are loaded, or "packed", for
    kernels that widen them on their way to the matrix unit. Weights are loaded for it."""
    absorbed: bool | None = None
    """Which way attention is computed; None lets each query's length decide."""
    batch_invariant: bool = False
    """A row's bits must not depend on its batch."""

    def __post_init__(self) -> None:
        check_cache(self.cache_dtype, self.cache_scales)
        check_activations(self.activations)
        if self.four_bits not in FOUR_BITS:
            raise FourBitsError(f"four_bits is {self.four_bits!r}; known: {', '.join(FOUR_BITS)}")

    def of(self, model: Transformer, gpu: Gpu | None = None) -> Transformer:
        """The model under these settings, over the same tensors.

        Args:
            gpu: whose limits activations in "auto" go by; None: the model's.

        Raises:
            ActivationsError, CacheFormatError: a setting cannot be honoured by this model on this device.
        """
        found = with_cache(model, self.cache_dtype, self.cache_scales)
        found = with_activations(found, self.activations, self.batch_invariant, gpu)
        return replace(found, absorbed=self.absorbed)
