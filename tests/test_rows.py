"""Rows in even numbers: none is lost, none is added that anybody sees."""

import pytest
import torch
from torch import Tensor

from genrev.rows import filled, rowwise


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 24])
def test_rows_are_filled_up_to_a_multiple_of_eight_with_the_last_one(count: int) -> None:
    rows = torch.rand(count, 2, 3)
    even = filled(rows)
    assert len(even) % 8 == 0
    assert len(even) - count < 8
    assert torch.equal(even[:count], rows)
    assert count == 0 or torch.equal(even[count:], rows[-1:].expand_as(even[count:]))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 13])
def test_a_function_of_rows_gives_as_many(count: int) -> None:
    seen: list[int] = []

    def product(a: Tensor, b: Tensor) -> Tensor:
        seen.append(len(a))
        return a @ torch.ones(3, 2) * b

    a, b = torch.rand(count, 3), torch.rand(count, 1)
    torch.testing.assert_close(rowwise(product, a, b), product(a, b))
    assert seen == [-(-count // 8) * 8, count]


def test_gradients_pass_to_the_rows_that_were_given() -> None:
    rows = torch.rand(3, 2, requires_grad=True)
    (slopes,) = torch.autograd.grad(rowwise(torch.square, rows).sum(), rows)
    torch.testing.assert_close(slopes, 2 * rows.detach())
