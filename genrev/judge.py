"""The judge: an independent classifier, of other data and kind than the network, that says what inputs look like."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from genrev.checks import called_as
from genrev.errors import ArgumentError
from genrev.progress import progress

_MOST_INPUTS = 10_000
_ROWS = 1024


@final
class Judge:
    """Says what inputs look like, for the share of a method's inputs that look like what was asked for.

    A judge that shares the network's data or kind shares its blind spots. Train it on inputs that neither the network
    nor an inverter has seen, and let it be no neural network: :meth:`fit` makes a support vector machine.

    Args:
        classifier: anything with a scikit-learn ``predict`` from ``(n, d)`` arrays to ``(n,)`` integer labels, or a
            callable from ``(n, *shape)`` tensors on the CPU to ``(n,)`` integer labels.

    Raises:
        ArgumentError: the classifier is neither.

    Example:
        >>> judge = Judge(lambda x: (x.mean(1) > 0.5).long())
        >>> judge.labels(torch.tensor([[0.9, 0.8], [0.1, 0.2]])).tolist()
        [1, 0]
    """

    @called_as()
    def __init__(self, classifier: Any) -> None:
        if not callable(getattr(classifier, "predict", classifier)):
            raise ArgumentError(
                f"expected a classifier with predict, or a callable, got {type(classifier).__name__}; "
                "pass a fitted classifier or use Judge.fit"
            )
        self.classifier = classifier

    def __repr__(self) -> str:
        return f"Judge({self.classifier!r})"

    @classmethod
    @called_as()
    def fit(cls, inputs: Tensor, labels: Tensor, *, standardise: bool = False, seed: int = 0) -> Judge:
        """Train a support vector machine with Gaussian kernel on inputs that are kept for the judge.

        Of more than 10,000 inputs it sees 10,000, each label in proportion, so that it takes well under a minute.

        Args:
            inputs: ``(n, *shape)``, finite; n >= 2.
            labels: ``(n,)`` integers of at least 0, two or more of them different.
            standardise: whether to bring each value to mean 0 and deviation 1 first: for features in units of their
                own; pixels share one.
            seed: decides which of very many inputs are seen, and nothing else.

        Returns:
            A judge.

        Raises:
            ArgumentError: too few inputs or labels, unlike lengths, or inputs that aren't finite.

        Reference:
            Cortes and Vapnik, 1995, "Support-vector networks".

        Example:
            >>> judge = Judge.fit(torch.tensor([[0.0], [0.1], [0.9], [1.0]]), torch.tensor([0, 0, 1, 1]))
            >>> judge.labels(torch.tensor([[0.2], [0.7]])).tolist()
            [0, 1]
        """
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        from genrev.support_vectors import GaussianSVC

        inputs, labels = _checked(inputs, labels, seed)
        seen = _subset(labels, _MOST_INPUTS, seed)
        # C = 10 and that width read handwritten digits near the best that any choice does, whatever the pixels' scale.
        machine = GaussianSVC(C=10.0)
        classifier = make_pipeline(StandardScaler(), machine) if standardise else machine
        with progress("judge", 1, unit="fit") as advance:
            classifier.fit(inputs[seen].double().flatten(1).numpy(), labels[seen].numpy())
            advance()
        return cls(classifier)

    def labels(self, x: Tensor) -> Tensor:
        """Return what each input looks like.

        Args:
            x: ``(n, *shape)``, of the shape that the classifier was trained on.

        Returns:
            ``(n,)`` int64 on the CPU; -1, which no label equals, where x isn't finite.

        Raises:
            ArgumentError: x isn't a batch of that shape, or the classifier gives no integer labels.

        Example:
            >>> Judge(lambda x: x[:, 0].round().long()).labels(torch.tensor([[0.9], [float("nan")]])).tolist()
            [1, -1]
        """
        x = _batch(x)
        self._expect_size(x)
        labels = torch.full((len(x),), -1)
        finite = x.flatten(1).isfinite().all(1).nonzero()[:, 0]
        for rows in finite.split(_ROWS):
            if len(rows):
                labels[rows] = self._ask(x[rows])
        return labels

    def _expect_size(self, x: Tensor) -> None:
        wanted, got = getattr(self.classifier, "n_features_in_", None), x[:1].numel()
        if wanted is not None and len(x) and got != wanted:
            raise ArgumentError(
                f"expected inputs of {wanted} values each, got {got} in shape {tuple(x.shape)}; "
                "pass inputs of the shape that the judge was trained on"
            )

    def _ask(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            predict = getattr(self.classifier, "predict", None)
            answer = self.classifier(x) if predict is None else predict(x.flatten(1).numpy())
        try:
            labels = torch.as_tensor(answer).detach().cpu()
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentError(
                f"expected integer labels from the classifier, got {type(answer).__name__}; number its classes"
            ) from error
        if labels.shape != (len(x),) or labels.is_complex() or (labels != labels.long()).any():
            raise ArgumentError(
                f"expected {len(x)} integer labels from the classifier, got {tuple(labels.shape)} of {labels.dtype}; "
                "return a label each, such as logits.argmax(1)"
            )
        return labels.long()


def _batch(x: Tensor) -> Tensor:
    if not isinstance(x, Tensor) or x.ndim < 2 or x.is_complex():
        got = f"shape {tuple(x.shape)} of {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ArgumentError(f"expected a real tensor of shape (n, *shape), got {got}; reshape or convert it")
    # NumPy knows no bfloat16, and few classifiers read halves or integers.
    return x.detach().to("cpu", torch.float64 if x.dtype in (torch.float64, torch.int64) else torch.float32)


def _checked(inputs: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    inputs = _batch(inputs)
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        got = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise ArgumentError(f"expected labels to be a tensor of integers, got {got}; number the classes from 0")
    if labels.shape != (len(inputs),) or len(inputs) < 2 or inputs[0].numel() == 0:
        raise ArgumentError(
            f"expected two or more inputs with a label each, got shapes {tuple(inputs.shape)} and "
            f"{tuple(labels.shape)}; pass (n, *shape) and (n,)"
        )
    if not inputs.isfinite().all():
        raise ArgumentError("expected finite inputs, got NaN or infinity; remove those inputs")
    labels = labels.detach().cpu().long()
    if labels.min() < 0 or labels.min() == labels.max():
        raise ArgumentError(
            f"expected labels of two or more classes numbered from 0, got {labels.unique().tolist()[:5]}; "
            "a judge needs something to tell apart"
        )
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ArgumentError(f"expected seed to be an integer of at least 0, got {seed!r}; 0 will do")
    return inputs, labels


def _subset(labels: Tensor, size: int, seed: int) -> Tensor:
    """Return the sorted places of at most ``size`` labels, drawn so that each class keeps its share, and a member."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    _, classes, counts = labels[order].unique(return_inverse=True, return_counts=True)
    grouped = classes.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[grouped] = torch.arange(len(order)) - (counts.cumsum(0) - counts)[classes[grouped]]
    # The first of every class comes before any second, and then each class in proportion to its size.
    return order[(rank / counts[classes]).argsort(stable=True)[:size]].sort().values
