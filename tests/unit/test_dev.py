"""`./dev` and the files around it: what a bare machine, the build and the cluster launcher read."""

import ast
import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("dev", str(ROOT / "dev"))
    spec = importlib.util.spec_from_loader("dev", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_dev_imports_the_standard_library_and_modules_that_do_the_same() -> None:
    ours = {"local.guard", "local.state", "local.errors"}
    for file, others in ((ROOT / "dev", ours), *((ROOT / f"{name.replace('.', '/')}.py", ours) for name in ours)):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names or name in others, name


def test_what_fetches_rabbitmq_beside_the_environment_needs_nothing_installed() -> None:
    for name in ("debian", "errors", "state", "__init__"):
        for node in ast.walk(ast.parse((ROOT / f"local/{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom):
                top = str(node.module).split(".")[0]
                assert top in sys.stdlib_module_names or node.module in {"local.errors", "local.state"}, node.module


def test_every_command_is_a_module_that_exists(dev: ModuleType) -> None:
    for command, module in dev.MODULES.items():
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command
        assert command in str(dev.__doc__)


def test_every_package_in_the_lock_files_has_hashes() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-bootstrap.lock"):
        text = (ROOT / name).read_text()
        pinned = re.findall(r"^[a-z0-9][\w.\[\],-]*==\S+( \\\n(?:    --hash=\S+(?: \\)?\n?)+)?", text, re.MULTILINE)
        assert pinned, name
        assert all(pinned), name


def test_development_has_the_same_versions_as_the_service() -> None:
    def versions(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+(?:\[[\w,-]+\])?)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))

    service, development = versions("requirements.lock"), versions("requirements-dev.lock")
    assert service.items() <= development.items()


def test_the_build_runs_the_checks_and_then_the_tests_of_the_readme() -> None:
    commands = re.findall(r"^\./dev .*$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert commands == ["./dev check", "./dev test"]
    assert "./dev test" in (ROOT / "README.md").read_text()
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert (ROOT / "dev").stat().st_mode & 0o111


def test_the_cluster_file_is_one_that_ray_accepts() -> None:
    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    validate_config(config)
    assert config["provider"]["type"] == "local"


def test_a_cluster_is_never_started_without_a_token() -> None:
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    for part in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [command for command in config[part] if "ray start" in command]
        assert len(starts) == 1
        assert "RAY_AUTH_MODE=token" in starts[0]


@pytest.mark.parametrize(
    "arguments",
    [("run", "--port", "9999"), ("run", "extra"), ("check", "--fix"), ("environment", "x"), ("lock", "-U"), ("rum",)],
)
def test_what_it_does_not_know_it_refuses_before_it_does_anything(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """`./dev run --port 9999` used to start the whole service, on port 8000."""
    monkeypatch.setattr(sys, "argv", ["dev", *arguments])
    for name in ("environment_of", "fetch_rabbitmq", "run_module", "uv_program"):
        monkeypatch.setattr(dev, name, lambda *_: pytest.fail("it began to work"))
    with pytest.raises(SystemExit) as ended:
        dev.main()
    assert ended.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("help",), (), ("run", "--help"), ("check", "-h")])
def test_help_is_given_and_nothing_started(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "argv", ["dev", *arguments])
    for name in ("environment_of", "fetch_rabbitmq", "run_module"):
        monkeypatch.setattr(dev, name, lambda *_: pytest.fail("it began to work"))
    assert dev.main() == 0
    assert "./dev run" in capsys.readouterr().err
