"""What was found as the bytes of a file: a picture, arrays or a table, by the end of the file's name."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from genrev.cli.sheet import sheet
from genrev.inverter import Inversion, Outcome
from genrev.report.values import value_names
from genrev.space import InputSpace

_Names = Sequence[str] | None


def arrays(found: Inversion, space: InputSpace, names: _Names, columns: _Names) -> bytes:
    """Return the arrays x, y, target, residual and outcome as an .npz file.

    Args:
        found: by any inverter.
        space: of the network's inputs.
        names: of the outputs; arrays have no room for them.
        columns: names of the values of an input, likewise.
    """
    file = io.BytesIO()
    parts = {name: getattr(found, name).cpu().numpy() for name in ("x", "y", "target", "residual", "outcome")}
    np.savez(file, **parts)
    return file.getvalue()


def table(found: Inversion, space: InputSpace, names: _Names, columns: _Names) -> bytes:
    """Return a CSV file with a header and a row for each input found, in full precision; all is counted from 1.

    Args:
        found: by any inverter.
        space: of the network's inputs.
        names: of the outputs, where they are known.
        columns: names of the values of an input, where they are known.
    """
    y, x = found.y.flatten(2).cpu().numpy(), found.x.flatten(2).cpu().numpy()
    residual = found.residual.cpu().numpy()
    named = names if names is not None and len(names) == y.shape[2] else [str(place) for place in range(y.shape[2])]
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    outputs = [f"output {name}" for name in named]
    writer.writerow(["target", "sample", "residual", "outcome", *outputs, *value_names(columns, x.shape[2])])
    for target, sample in np.ndindex(residual.shape):
        outcome = Outcome(int(found.outcome[target, sample]))
        # As text, a number has the digits of its own precision.
        values = [str(value) for value in (*y[target, sample], *x[target, sample])]
        writer.writerow([target + 1, sample + 1, str(residual[target, sample]), outcome.name, *values])
    return file.getvalue().encode()


FORMATS: Mapping[str, tuple[str, Callable[[Inversion, InputSpace, _Names, _Names], bytes]]] = {
    ".png": ("picture", sheet),
    ".npz": ("arrays", arrays),
    ".csv": ("table", table),
}
"""What each end of a name asks for, and what makes it."""
