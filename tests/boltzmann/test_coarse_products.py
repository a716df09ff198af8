"""Coarse products: asked of PyTorch only where the processor has them, and never left behind."""

from __future__ import annotations

import pytest
import torch

from genrev.boltzmann.products import coarse_products


def on_a_processor(monkeypatch: pytest.MonkeyPatch, **able: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)


@pytest.mark.parametrize("name", ["amx_bf16", "avx512_bf16"])
def test_a_processor_that_multiplies_bfloat16_is_asked_to(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    on_a_processor(monkeypatch, **{name: True})
    before = torch.backends.mkldnn.matmul.fp32_precision
    with coarse_products():
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_another_processor_multiplies_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor(monkeypatch, avx2=True)
    before = torch.backends.mkldnn.matmul.fp32_precision
    with coarse_products():
        assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_an_error_inside_leaves_the_setting_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor(monkeypatch, amx_bf16=True)
    before = torch.backends.mkldnn.matmul.fp32_precision
    with pytest.raises(KeyError), coarse_products():
        raise KeyError
    assert torch.backends.mkldnn.matmul.fp32_precision == before


def test_double_precision_is_never_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor(monkeypatch, amx_bf16=True)
    a, b = torch.rand(40, 50), torch.rand(50, 60)
    with coarse_products():
        product = a @ b
    torch.testing.assert_close(product, a @ b, rtol=0, atol=0)
