"""One's own features from a file to a report: every step of the way, in the units that they have."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genrev import Judge, Refined, build, compare, load, save
from genrev.classifiers import accuracy, train_classifier
from genrev.data import load_splits


@pytest.mark.usefixtures("as_a_user")
def test_a_csv_file_becomes_a_network_inverters_and_a_report(tmp_path: Path):
    wine = load_wine()
    with open(tmp_path / "wine.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*wine.feature_names, "kind"])
        writer.writerows([*x, wine.target_names[y]] for x, y in zip(wine.data.tolist(), wine.target, strict=True))
    parts = load_splits(f"csv:{tmp_path / 'wine.csv'}")
    network = train_classifier(parts.train, layers=(13, 32, 3), activation=("tanh", "softmax"), batch_size=16)
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(parts.train.inputs, parts.train.labels)
    held_out = linear.score(parts.targets.inputs, parts.targets.labels)
    assert accuracy(network, parts.targets) > held_out - 0.05

    save(network, tmp_path / "network.safetensors")
    network = load(tmp_path / "network.safetensors")
    assert torch.equal(network.space.high, parts.train.space.high)
    methods = {name: build(name, network) for name in ("pinv", "gradient", "newton", "retrieval")}
    methods |= {name: build(name, network, steps=300) for name in ("decoder", "cvae")}
    methods = {name: method.fit(parts.train.inputs, seed=0) for name, method in methods.items()}
    methods["cvae+newton"] = Refined(methods["cvae"], methods["newton"]).fit(parts.train.inputs, seed=0)
    judge = Judge.fit(parts.judge.inputs, parts.judge.labels, standardise=True)
    found = compare(
        network,
        methods,
        parts.targets.inputs,
        reference=parts.reference.inputs,
        training=parts.train.inputs,
        judge=judge,
        samples=2,
        names=parts.train.names,
    )
    rows = {row.inverter: row for row in found.rows}
    assert rows["newton"].converged == rows["cvae+newton"].converged == 1
    for name in ("gradient", "newton", "decoder", "cvae", "cvae+newton"):
        assert rows[name].judge_agreement > rows["noise"].judge_agreement + 0.3, name
        assert rows[name].coverage > 0.3, name
    (tmp_path / "out").mkdir()
    found.save(tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<path") > len(methods)
    assert "data:image/png" not in page
