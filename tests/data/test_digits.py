"""The digits that come with scikit-learn: all there, scaled, and the same ones that scikit-learn gives."""

from __future__ import annotations

import subprocess
import sys

import torch
from sklearn.datasets import load_digits

from genrev.data import digits


def test_digits_are_scikit_learns_scaled_to_one():
    scans, data = load_digits(), digits()
    assert data.inputs.shape == (1797, 1, 8, 8)
    assert data.inputs.dtype == torch.float32
    assert torch.equal(data.inputs[:, 0].double() * 16, torch.as_tensor(scans.images))
    assert data.labels.tolist() == scans.target.tolist()
    assert data.names == tuple("0123456789")


def test_the_scale_uses_the_whole_range():
    low, high = digits().inputs.aminmax()
    assert (float(low), float(high)) == (0, 1)


def test_importing_the_data_room_imports_no_scikit_learn():
    code = "import sys, genrev.data; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
