"""Tests of the architecture: imports run downwards only, and what no module may do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import genrev

PACKAGE = Path(genrev.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the bottom: a room may import from its own and from those below.
FLOORS = [
    ["errors"],
    ["checks", "digest"],
    ["noise", "rows", "arrays", "files", "distances"],
    ["metrics"],
    ["progress"],
    ["space", "numpy_files", "tensor_files"],
    ["operators"],
    ["layers"],
    ["models"],
    ["network"],
    ["solvers"],
    ["equation", "reachable"],
    ["resume"],
    ["training"],
    ["boltzmann"],
    ["inverter"],
    ["inverters"],
    ["support_vectors"],
    ["checkpoint", "data", "judge"],
    ["classifiers"],
    ["report"],
    ["comparison"],
    ["benchmarks"],
    ["cli"],
    ["__main__"],
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(module: ast.Module) -> set[str]:
    """The dotted names that a module imports; those for type checkers do not count."""
    skipped = {
        id(inner)
        for node in ast.walk(module)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(module):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            # `from genrev import noise` imports a room, `from genrev.noise import Noise` does too.
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "genrev" else {node.module}
            )
    return names


def rooms_used(path: Path) -> set[str]:
    used = {name.split(".")[1] for name in imports(tree(path)) if name.startswith("genrev.")}
    # Names of the package itself, `from genrev import __version__`, and a public name that hides its room.
    return {genrev._PUBLIC[part].split(".")[1] if part in genrev._PUBLIC else part for part in used} - {"__version__"}


def test_every_room_has_a_floor() -> None:
    assert {room(path) for path in MODULES} - {"__init__"} <= set(FLOOR)


@pytest.mark.parametrize("path", [path for path in MODULES if room(path) != "__init__"], ids=name)
def test_imports_run_downwards_only(path: Path) -> None:
    here = room(path)
    above = {used for used in rooms_used(path) if used != here and FLOOR[used] >= FLOOR[here]}
    assert not above, f"{path.relative_to(PACKAGE)} imports from {', '.join(sorted(above))}, which is not below {here}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_begins_with_one_sentence(path: Path) -> None:
    docstring = ast.get_docstring(tree(path))
    assert docstring, "no docstring"
    sentence = docstring.split("\n\n")[0]
    assert sentence.endswith((".", "?")), sentence


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_is_pickled_fetched_or_taken_from_torchvision(path: Path) -> None:
    module = tree(path)
    roots = {name.split(".")[0] for name in imports(module)}
    assert not roots & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    assert not roots & {"torchvision", "urllib", "requests", "socket", "http"}
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    if room(path) == "resume":
        # The state of a training, whose bytes come as tensors and plain values or not at all.
        loads = [node for node in calls if ast.unparse(node.func) == "torch.load"]
        assert all("weights_only=True" in map(ast.unparse, node.keywords) for node in loads)
        calls = [node for node in calls if ast.unparse(node.func) not in ("torch.load", "torch.save")]
    forbidden = {"torch.load", "torch.save", "np.lib.format.read_array", "eval", "exec"}
    assert not {ast.unparse(node.func) for node in calls} & forbidden


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_command_line_prints(path: Path) -> None:
    if room(path) in ("cli", "__main__"):
        return
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if ast.unparse(call.func) == "print"]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nobody_configures_logging_or_torch_s_globals(path: Path) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    assert not {call for call in calls if call.startswith("logging.") and call != "logging.getLogger"}
    forbidden = {
        "torch.set_default_dtype",
        "torch.manual_seed",
        "np.random.seed",
        "random.seed",
        "torch.set_num_threads",
    }
    if room(path) == "training":
        # Its one seeded block puts the generator back.
        assert "torch.random.fork_rng" in calls
        forbidden.remove("torch.manual_seed")
    if room(path) != "cli":
        assert not calls & forbidden


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nobody_asks_hasattr(path: Path) -> None:
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if ast.unparse(call.func) == "hasattr"]


def test_models_and_solvers_know_no_inverter() -> None:
    for path in MODULES:
        if room(path) in ("models", "solvers", "layers", "operators", "files", "tensor_files"):
            assert not rooms_used(path) & {"inverter", "inverters", "network"}, path


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_imports_no_torch() -> None:
    heavy = ("torch", "numpy", "sklearn", "matplotlib", "tqdm", "tyro", "jinja2", "safetensors")
    assert run(f"import sys, genrev, genrev.errors; print([m for m in {heavy!r} if m in sys.modules])") == "[]"


def test_the_core_imports_nothing_heavy_beside_torch() -> None:
    heavy = ("sklearn", "matplotlib", "tyro", "jinja2", "scipy", "torchvision", "pandas")
    code = (
        "import sys\nfrom genrev import Network, Refined\nfrom genrev.inverters import INVERTERS\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_importing_prints_nothing_and_leaves_torch_alone() -> None:
    code = (
        "import torch, logging\nbefore = torch.get_default_dtype(), torch.get_num_threads(), torch.initial_seed(), "
        "len(logging.getLogger().handlers)\nfrom genrev.inverters import INVERTERS\n"
        "assert before == (torch.get_default_dtype(), torch.get_num_threads(), torch.initial_seed(), "
        "len(logging.getLogger().handlers))"
    )
    assert run(code) == ""


def test_every_public_name_resolves_and_lives_where_it_says() -> None:
    for name in genrev._PUBLIC:
        assert getattr(genrev, name) is not None
    assert set(genrev.__all__) == {"__version__", *genrev._PUBLIC}
    assert set(dir(genrev)) == set(genrev.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = genrev.Nothing
