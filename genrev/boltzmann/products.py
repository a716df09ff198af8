"""Products of matrices while a machine learns: of bfloat16 numbers, on processors that multiply those faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ABLE = ("amx_bf16", "avx512_bf16")
"""What a processor must have for it, as PyTorch names it."""


@contextmanager
def coarse_products() -> Iterator[None]:
    """Round the factors of float32 products to bfloat16 inside, where the processor is faster at it; sums stay float32.

    A learning rule is an average over samples, whose noise is far above such rounding; a measurement may not be, and
    belongs outside. On other processors, and in other precisions, nothing changes.

    Example:
        >>> with coarse_products():
        ...     product = torch.eye(3) @ torch.ones(3, 2)
        >>> product.dtype
        torch.float32
    """
    if not any(torch.cpu.get_capabilities().get(name, False) for name in _ABLE):
        yield
        return
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before
