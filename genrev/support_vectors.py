"""The support vector machine of the judge: scikit-learn's, which answers many inputs at once by matrix products."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC


class GaussianSVC(SVC):
    """A support vector machine with Gaussian kernel, of width 1 over the number of values and their variance.

    scikit-learn learns it. Its own `predict` measures each input against each support vector in turn, which for
    images takes several times as long as the same by a matrix product, as it is done here.

    Reference:
        Chang and Lin, 2011, "LIBSVM: a library for support vector machines", on the votes of pairs of classes.

    Example:
        >>> GaussianSVC().fit(np.array([[0.0], [0.1], [0.9], [1.0]]), np.array([0, 0, 1, 1])).predict([[0.2]])
        array([0])
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn to tell classes apart.

        Args:
            X: ``(n, d)``: inputs, finite.
            y: ``(n,)``: their labels, of two classes or more.
            sample_weight: ``(n,)``: how much each input counts; all alike if not given.

        Returns:
            The machine itself.

        Raises:
            ValueError: what scikit-learn says of inputs and labels that don't fit.
        """
        variance = float(np.var(X))
        self.gamma = 1 / (np.shape(X)[1] * variance) if variance else 1.0
        return super().fit(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return the label for which most pairs of classes vote, the first of equals.

        Args:
            X: ``(n, d)``: inputs, finite; read in double precision.

        Returns:
            ``(n,)``: a label each.

        Raises:
            ValueError: the inputs have another number of values than those learned from, or some are not finite.
        """
        kernel = rbf_kernel(np.asarray(X, dtype=np.float64), self.support_vectors_, gamma=self.gamma)
        count = len(self.classes_)
        if count == 2:
            return self.classes_[(kernel @ self.dual_coef_[0] + self.intercept_[0] > 0).astype(int)]
        ends = np.cumsum(self.n_support_)
        # What the vectors of each class say in its pairs with each of the others.
        said = [
            kernel[:, end - own : end] @ self.dual_coef_[:, end - own : end].T
            for own, end in zip(self.n_support_, ends, strict=True)
        ]
        votes = np.zeros((len(kernel), count))
        pairs = [(one, other) for one in range(count) for other in range(one + 1, count)]
        for (one, other), offset in zip(pairs, self.intercept_, strict=True):
            first = said[one][:, other - 1] + said[other][:, one] + offset > 0
            votes[:, one] += first
            votes[:, other] += ~first
        return self.classes_[votes.argmax(1)]
