"""Tests of points that two sets share: on both where there are any, on the first in any case."""

from __future__ import annotations

import torch
from torch import Tensor

from genrev.solvers.feasible import met_by_both


def plane(normal: Tensor, height: Tensor):
    def nearest(x: Tensor) -> Tensor:
        return x + (height - x @ normal)[:, None] * normal / normal.square().sum()

    return nearest


def test_points_of_a_plane_and_a_box_are_found() -> None:
    normal, height = torch.randn(12), torch.randn(30)
    meet = plane(normal, height)
    found = met_by_both(meet, lambda x: x.clamp(-1, 1), 5 * torch.randn(30, 12))
    torch.testing.assert_close(found @ normal, height)
    assert float(found.abs().max()) <= 1 + 1e-7


def test_a_point_that_is_in_both_stays() -> None:
    x = torch.tensor([[0.25, 0.75], [3.0, 0.5]])
    found = met_by_both(plane(torch.ones(2), torch.ones(2)), lambda x: x.clamp(0, 1), x)
    assert torch.equal(found[0], x[0])


def test_without_a_common_point_the_first_set_is_kept_to() -> None:
    meet = plane(torch.ones(2), torch.full((3,), 9.0))
    found = met_by_both(meet, lambda x: x.clamp(0, 1), torch.randn(3, 2))
    torch.testing.assert_close(found.sum(1), torch.full((3,), 9.0))
    torch.testing.assert_close(found, torch.full((3, 2), 4.5), rtol=0, atol=0.1)


def test_rows_do_not_depend_on_one_another_and_there_may_be_none() -> None:
    normal = torch.randn(6)
    start, height = 4 * torch.randn(9, 6), torch.randn(9)
    together = met_by_both(plane(normal, height), lambda x: x.clamp(-1, 1), start)
    alone = met_by_both(plane(normal, height[4:5]), lambda x: x.clamp(-1, 1), start[4:5])
    torch.testing.assert_close(together[4:5], alone)
    assert met_by_both(lambda x: x, lambda x: x, torch.zeros(0, 3)).shape == (0, 3)
