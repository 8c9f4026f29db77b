"""The compose file and the Dockerfile, as far as they can be checked without Docker."""

import ast
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from triton_utils.repository import CONFIG_NAME

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "triton_utils"
# What a package of the serving group is imported as, where that is not its name; and what comes
# with one of them.
IMPORTED_AS = {
    "faiss-cpu": "faiss",
    "hydra-core": "hydra",
    "prometheus-client": "prometheus_client",
}
COMES_ALONG = {"omegaconf", "yaml"}  # with hydra


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((FOLDER / "compose.yaml").read_text())


def instructions(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [line.split(maxsplit=1) for line in lines]


@pytest.fixture(scope="module")
def dockerfile():
    return instructions(FOLDER / "Dockerfile")


def copied(dockerfile):
    """The sources that are copied into the image."""
    return [s for what, rest in dockerfile if what == "COPY" for s in shlex.split(rest)[:-1]]


def check_sources(path):
    lines = path.with_name("Dockerfile.dockerignore").read_text().splitlines()
    sources = copied(instructions(path))
    assert set(sources) == {line[1:] for line in lines if line.startswith("!")}
    assert all(list(ROOT.glob(source)) for source in sources)


def test_the_services_are_open_to_this_machine_alone(compose):
    for service in compose["services"].values():
        assert service["ports"] and all(p.startswith("127.0.0.1:") for p in service["ports"])


def test_triton_serves_the_folder_that_it_is_given(compose):
    triton = compose["services"]["triton"]
    assert f"--model-repository={triton['volumes'][0].split(':')[1]}" in triton["command"]
    assert f"--model-config-name={CONFIG_NAME}" in triton["command"]


def test_the_health_of_the_web_service_is_asked_by_a_program_that_runs(compose):
    compile(compose["services"]["web"]["healthcheck"]["test"][-1], "healthcheck", "exec")


def test_the_paths_exist(compose):
    web = compose["services"]["web"]
    build = web["build"]
    context = (FOLDER / build["context"]).resolve()
    assert context == ROOT and (context / build["dockerfile"]).is_file()
    repository = compose["services"]["triton"]["volumes"][0].split(":")[0]
    assert sorted(p.parent.name for p in (FOLDER / repository).glob("*/config.pbtxt")) == [
        "graph_model",
        "text_encoder",
    ]
    bundle = web["volumes"][0].split(":")[0]
    assert (FOLDER / bundle).resolve() == ROOT  # around the bundle, which is replaced as a whole
    check_sources(FOLDER / "Dockerfile")


def test_the_image_installs_the_serving_packages_only(dockerfile):
    runs = [rest for what, rest in dockerfile if what == "RUN"]
    assert any("uv sync --locked --only-group serving" in rest for rest in runs)
    (entry,) = (rest for what, rest in dockerfile if what == "ENTRYPOINT")
    assert ast.literal_eval(entry) == ["python", "-m", "rec_sys.serving.app"]
    assert ["USER", "service"] in dockerfile


def test_the_image_for_training_is_the_program(tmp_path):
    """All but Docker itself: what is copied is enough to lock, and to run a command."""
    path = ROOT / "Dockerfile"
    check_sources(path)
    steps = instructions(path)
    assert ["USER", "trainer"] in steps
    (sync,) = (rest for what, rest in steps if what == "RUN" and rest.startswith("uv sync"))
    for source in copied(steps):
        for found in ROOT.glob(source):
            target = tmp_path / found.relative_to(ROOT)
            target.parent.mkdir(exist_ok=True)
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(found, target, ignore=ignored) if found.is_dir() else shutil.copy(
                found, target
            )
    environment = os.environ | {"UV_OFFLINE": "1"}
    where = {
        "cwd": tmp_path,
        "env": environment,
        "check": True,
        "capture_output": True,
        "text": True,
    }
    plan = subprocess.run([*shlex.split(sync), "--dry-run"], **where).stderr
    assert " torch==" in plan and " fastapi==" in plan and " pytest==" not in plan
    (entry,) = (ast.literal_eval(rest) for what, rest in steps if what == "ENTRYPOINT")
    told = subprocess.run([sys.executable, *entry[1:], "train", "--help"], **where).stdout
    assert "train.max_epochs" in told


def test_the_client_imports_nothing_that_the_image_lacks():
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["serving"]
    names = {each.split(">")[0].split("[")[0] for each in group}
    available = {IMPORTED_AS.get(name, name) for name in names} | COMES_ALONG
    available |= sys.stdlib_module_names | {"rec_sys", "triton_utils"}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                modules = [node.module]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                continue
            assert {module.split(".")[0] for module in modules} <= available, path
