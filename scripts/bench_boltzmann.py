"""Print what Boltzmann machines reach: likelihoods, temperatures, speed, and draws for classes."""

import argparse
import copy
import itertools
import math
import time
from dataclasses import replace
from functools import partial

import torch

from genrev import CVAEInverter, DBNInverter, Judge, Network, NewtonInverter, RBMInverter, Refined, compare
from genrev.benchmarks.stripes import bars_and_stripes, best_log_likelihood
from genrev.boltzmann.chains import Tempered
from genrev.boltzmann.learning import Lesson, learn, pseudo_likelihood
from genrev.boltzmann.likelihood import estimate_log_partition, exact_log_partition
from genrev.boltzmann.stack import learn_stack
from genrev.boltzmann.updown import UpDown, fine_tune
from genrev.classifiers import STANDARD
from genrev.data import Dataset, Splits, load_splits
from genrev.models.dbn import DBN
from genrev.models.rbm import RBM
from genrev.progress import quiet
from genrev.training import seeded


def machine(visible: int, hidden: int, seed: int, dtype: torch.dtype = torch.float32) -> RBM:
    """Return a machine of Bernoulli units that has not learned."""
    with seeded(seed):
        return RBM([("bernoulli", visible)], hidden).to(dtype)


@torch.no_grad()
def log_likelihood(rbm: RBM, v: torch.Tensor, log_partition: float) -> float:
    """Return the mean log-likelihood of data, in nats."""
    return float(-rbm.free_energy(v).double().mean()) - log_partition


def stripes(args: argparse.Namespace) -> None:
    """Bars and stripes, learned with tempering; the likelihood is exact."""
    best, v = best_log_likelihood(4), bars_and_stripes(4).double()
    rbm, began = machine(16, 19, args.seed, torch.float64), time.perf_counter()
    lesson = Lesson("pt", epochs=20_000, batch_size=32, rate=0.2, weight_decay=0.0, chains=100, temperatures=10)
    learn(rbm, v, lesson, validation=0.0, seed=args.seed)
    reached = log_likelihood(rbm, v, exact_log_partition(rbm))
    print(
        f"bars and stripes 4x4, 19 hidden units, tempering: {reached:.4f} nats a sample, optimum {best:.4f}, "
        f"{best - reached:.4f} below (bar 0.05); {time.perf_counter() - began:.0f} s"
    )


def estimates(args: argparse.Namespace) -> None:
    """Importance sampling against the exact value, on a machine that learned digits."""
    data = load_splits("digits", seed=args.seed)
    rbm = machine(64, 16, args.seed)
    learn(rbm, data.train.inputs.flatten(1), Lesson(epochs=100, batch_size=20), seed=args.seed)
    found = estimate_log_partition(rbm, data.train.inputs.flatten(1).round(), temperatures=5000, runs=100)
    exact = exact_log_partition(rbm)
    off = math.nan if found.value is None else abs(found.value - exact)
    print(f"digits, 64-16: exact log Z {exact:.3f}; {found}; off by {off:.3f} (bar 0.05)")


def temperatures(args: argparse.Namespace) -> None:
    """The law of each temperature of a random machine against going through all states."""
    rbm, worst = machine(6, 4, args.seed, torch.float64), 0.0
    with seeded(args.seed), torch.no_grad():
        for values in rbm.parameters():
            values.normal_()
        every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).double()
        chains = Tempered(rbm, 1, 2000, 5)
        for _ in range(50):
            chains.step()
        counts = torch.zeros(5, 64, dtype=torch.float64)
        powers = 2 ** torch.arange(5, -1, -1)
        for _ in range(100):
            for place, drawn in enumerate((chains.step() @ powers.double()).long()):
                counts[place] += torch.bincount(drawn, minlength=64)
        for place, beta in enumerate(chains.betas.tolist()):
            law = (-rbm.free_energy(every, beta)).softmax(0)
            worst = max(worst, float((counts[place] / counts[place].sum() - law).abs().sum()) / 2)
    print(f"tempering, 6-4, 5 temperatures: total variation {worst:.4f} at most (bar 0.02)")


def likelihood(args: argparse.Namespace) -> None:
    """The likelihood of MNIST's test images, binarised by sampling, under a machine of 500 hidden units."""
    splits = load_splits(args.data, seed=0)
    with seeded(args.seed):
        test = torch.bernoulli(torch.cat([splits.targets.inputs, splits.reference.inputs]).flatten(1))
    train = torch.cat([splits.train.inputs, splits.judge.inputs]).flatten(1)
    rbm, began = machine(train.shape[1], 500, args.seed), time.perf_counter()
    lesson = Lesson(epochs=args.epochs or 40, rate=args.rate)
    learn(rbm, train, lesson, validation=0.01, seed=args.seed, label="784-500")
    spent = time.perf_counter() - began
    found = estimate_log_partition(rbm, test, temperatures=args.temperatures, runs=100, burn_in=200, seed=args.seed)
    ways = [log_likelihood(rbm, test, way) for way in (found.forward, found.reverse)]
    print(f"784-500, PCD-1, {lesson.epochs} epochs of {len(train)} at rate {args.rate}")
    print(f"  learned in {spent:.0f} s; {found}")
    print(f"  test log-likelihood: {ways[0]:.2f} nats (forward), {ways[1]:.2f} (reverse), {len(test)} images (bar -90)")


def speed(args: argparse.Namespace) -> None:
    """Updates a second of PCD-1 against scikit-learn's, in one run, with the same threads."""
    from sklearn.neural_network import BernoulliRBM
    from threadpoolctl import threadpool_limits

    x = load_splits(args.data, seed=0).train.inputs.flatten(1)[:20_000]
    with seeded(args.seed):
        x, held = torch.bernoulli(x), torch.bernoulli(load_splits(args.data, seed=0).targets.inputs.flatten(1)[:2000])
    threads, epochs = torch.get_num_threads(), 2
    with threadpool_limits(threads):
        for dtype in (torch.float32, torch.float64):
            other = BernoulliRBM(500, learning_rate=0.05, batch_size=100, n_iter=epochs, random_state=args.seed)
            began = time.perf_counter()
            other.fit(x.to(dtype).numpy())
            theirs = time.perf_counter() - began
            score = other.score_samples(held.to(dtype).numpy()).mean()
            print(
                f"  scikit-learn, {dtype}: {200 * epochs / theirs:.0f} updates a second, pseudo-likelihood {score:.1f}"
            )
    rbm = machine(784, 500, args.seed)
    began = time.perf_counter()
    # The rate falls to zero, and is in the mean what it is there.
    learn(rbm, x, Lesson(epochs=epochs, rate=0.1, sampled=False, momentum=0.0), validation=0.0, seed=args.seed)
    ours = time.perf_counter() - began
    with seeded(args.seed), torch.no_grad():
        score = pseudo_likelihood(rbm, held).mean()
    print(
        f"784-500, PCD-1, batch 100, 20,000 images, {threads} threads: {200 * epochs / ours:.0f} updates a second, "
        f"pseudo-likelihood {float(score):.1f}"
    )


def spread(x: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the mean Hamming distance between binarised images of one class, over the classes."""
    found = []
    for label in labels.unique():
        rows = (x[labels == label].flatten(1) > 0.5).double()
        found.append(float(torch.cdist(rows, rows, p=1).sum()) / (len(rows) * (len(rows) - 1)))
    return sum(found) / len(found)


def targets_of_classes() -> dict[str, torch.Tensor]:
    """Return the two ways to ask for each class: alone, and with an even remainder."""
    alone = torch.full((10, 10), math.nan).fill_diagonal_(0.99)
    even = torch.full((10, 10), 0.01 / 9).fill_diagonal_(0.99)
    return {"p_k alone": alone, "even remainder": even}


def classes(args: argparse.Namespace, splits: Splits, network: Network, inverter: DBNInverter | RBMInverter) -> None:
    """Draws for class targets: what an independent judge sees, and how they vary."""
    judge = Judge.fit(splits.judge.inputs, splits.judge.labels)
    real = spread(splits.targets.inputs[:2000], splits.targets.labels[:2000])
    labels = torch.arange(10).repeat_interleave(args.samples)
    for guidance, match in ((1.0, 0.0), (2.0, 0.0), (1.0, 5.0), (1.5, 5.0)):
        tilted = copy.copy(inverter)
        tilted.guidance, tilted.match = guidance, match
        for name, target in targets_of_classes().items():
            began = time.perf_counter()
            x = tilted.reconstruct(target, samples=args.samples, seed=args.seed).x.flatten(0, 1)
            spent = time.perf_counter() - began
            agreed = float((judge.labels(x) == labels).double().mean())
            varied = spread(x, labels) / real
            print(
                f"  {name:14s} guidance {guidance}, match {match}, {tilted.gibbs} steps: judge {agreed:.3f}, "
                f"diversity {varied:.2f} of real ({real:.1f} bits); {spent:.1f} s",
                flush=True,
            )


def on_classes(args: argparse.Namespace, kind: str) -> None:
    """A method on MNIST, asked for classes."""
    splits = load_splits(args.data, seed=0)
    with quiet():
        network = STANDARD["idx"].train(splits.train)
    keywords = {"steps": args.steps, "rate": args.rate / 2, "batch_size": 100}
    inverter: DBNInverter | RBMInverter
    if kind == "rbm":
        inverter = RBMInverter(network, hidden=500, **keywords)
    else:
        inverter = DBNInverter(network, hidden=args.hidden or [500, 500, 1000], **keywords)
    inverter.fit(splits.train.inputs, seed=args.seed)
    print(f"MNIST, {kind} {inverter.hidden}, learned in {inverter.fit_seconds:.0f} s (bar: judge 0.96, diversity 0.80)")
    classes(args, splits, network, inverter)


def errors(dbn: DBN, data: Dataset) -> float:
    """Return the share of images whose likeliest class, by free energy, is not their label, in percent."""
    found = torch.cat([dbn.log_classes(x).argmax(1) for x in data.inputs.flatten(1).split(1000)])
    return 100 * float((found != data.labels).double().mean())


def classification(args: argparse.Namespace) -> None:
    """A deep belief network of images and their labels, as a classifier, before and after up-down learning."""
    splits, began = load_splits(args.data, seed=0), time.perf_counter()
    known = [splits.train] if args.held else [splits.train, splits.judge]
    v = torch.cat([part.inputs for part in known]).flatten(1)
    y = torch.nn.functional.one_hot(torch.cat([part.labels for part in known]), 10).to(v)
    seen = {"validation": [splits.judge]} if args.held else {"test": [splits.targets, splits.reference]}

    def report(when: str) -> None:
        for name, parts in seen.items():
            wrong = sum(errors(network, part) * len(part) for part in parts) / sum(map(len, parts))
            spent = time.perf_counter() - began
            print(f"  {when}: {wrong:.2f} % of {name} images wrong; {spent:.0f} s so far", flush=True)

    # Many small steps: an update of twenty images costs a fifth of one of a hundred, and goes nearly as far.
    lesson = Lesson(epochs=args.epochs or 10, rate=args.rate / 2, batch_size=20, chains=20)
    hidden = args.hidden or [500, 500, 2000]
    top = replace(lesson, discriminative=args.discriminative)
    network, _ = learn_stack(v, hidden, outputs=[("one-hot", 10)], y=y, lesson=lesson, top=top, seed=args.seed)
    print(f"MNIST and labels, dbn {hidden}, {lesson.epochs} epochs of {len(v)} a layer (bar: 2.0 % within an hour)")
    report("greedy")
    for gibbs, rate in ((3, 0.02), (6, 0.01), (10, 0.005)):
        fine = UpDown(
            epochs=args.updown // 3, rate=rate, gibbs=gibbs, batch_size=20, discriminative=args.discriminative
        )
        fine_tune(network, v, y, fine, seed=args.seed + gibbs)
        report(f"up-down, {fine.epochs} epochs of {gibbs} steps at rate {rate}")


def digits(args: argparse.Namespace) -> None:
    """Boltzmann machines on digits beside a variational autoencoder: asked for classes, and for held-out outputs."""
    splits = load_splits("digits", seed=args.split)
    with quiet():
        network = STANDARD["digits"].train(splits.train)
    dbn = DBNInverter(network)
    learners = {"rbm": RBMInverter(network), "dbn": dbn, "cvae": CVAEInverter(network)}
    for one in learners.values():
        one.fit(splits.train.inputs, seed=args.seed)
    print(f"digits, split {args.split}, dbn {dbn.hidden}, {dbn.steps} steps a layer (bar: judge 0.93)")
    classes(args, splits, network, dbn)
    refined = {f"{name}+newton": Refined(one, NewtonInverter(network)) for name, one in learners.items()}
    judge = Judge.fit(splits.judge.inputs, splits.judge.labels)
    found = compare(
        network,
        learners | refined,
        splits.targets.inputs,
        reference=splits.reference.inputs,
        training=splits.train.inputs,
        judge=judge,
        samples=4,
        seed=args.seed,
    )
    print(f"  the outputs of {len(splits.targets)} held-out digits (bar: dbn+newton met 98 %)")
    print(found.table())


PARTS = {
    "stripes": stripes,
    "estimates": estimates,
    "temperatures": temperatures,
    "digits": digits,
    "likelihood": likelihood,
    "speed": speed,
    "dbn": partial(on_classes, kind="dbn"),
    "rbm": partial(on_classes, kind="rbm"),
    "classification": classification,
}

FILES = ("likelihood", "speed", "dbn", "rbm", "classification")
"""What needs MNIST."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--part", choices=PARTS, nargs="+", default=list(PARTS), help="what to measure; all by default"
    )
    options.add_argument("--data", help=f"idx:FOLDER of MNIST, for {', '.join(FILES)}")
    options.add_argument("--epochs", type=int, help="of likelihood and classification (40; 10 a layer)")
    options.add_argument("--steps", type=int, default=15_000, help="of each layer of dbn")
    options.add_argument("--rate", type=float, default=0.1, help="of likelihood, dbn and classification")
    options.add_argument("--hidden", type=int, nargs="+", help="of dbn and classification (500 500 1000; 500 500 2000)")
    options.add_argument("--updown", type=int, default=9, help="epochs of up-down learning before classification")
    options.add_argument("--discriminative", type=float, default=20.0, help="weight of log p(label) on top")
    options.add_argument("--held", action="store_true", help="classify a tenth of the training images, and no others")
    options.add_argument("--samples", type=int, default=50, help="for each class")
    options.add_argument("--temperatures", type=int, default=5000, help="of importance sampling")
    options.add_argument("--split", type=int, default=3, help="of digits")
    options.add_argument("--seed", type=int, default=0)
    args = options.parse_args()
    if args.data is None and set(FILES) & set(args.part):
        options.error(f"{', '.join(FILES)} need --data idx:FOLDER; without it choose other parts with --part")
    print(f"{torch.get_num_threads()} threads")
    for part in args.part:
        PARTS[part](args)


if __name__ == "__main__":
    main()
