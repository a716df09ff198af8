"""Digests: hashes that tell tensors and words from others, and whole ones from damaged ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import torch
from torch import Tensor


def digest(tensors: Mapping[str, Tensor], said: str = "") -> str:
    """Return a hash of tensors and words; 64 hexadecimal digits.

    Args:
        tensors: by name, on any device.
        said: whatever else is to tell one thing from another; addresses in memory don't count.

    Example:
        >>> digest({"x": torch.zeros(2)}) == digest({"x": torch.zeros(2)}, "<f at 0x12>")
        False
    """
    found = hashlib.sha256(re.sub(" at 0x[0-9a-fA-F]+", "", said).encode())
    for name, values in tensors.items():
        found.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        found.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
