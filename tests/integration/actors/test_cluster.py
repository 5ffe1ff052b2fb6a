"""cluster.yaml is what Ray's own launcher accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).resolve().parents[3] / "cluster.yaml"


def test_rays_own_validation_accepts_the_cluster_file() -> None:
    validate_config(prepare_config(yaml.safe_load(FILE.read_text())))


def test_the_validation_would_notice_a_field_that_does_not_exist() -> None:
    config = yaml.safe_load(FILE.read_text()) | {"head_starts": []}
    with pytest.raises(Exception, match="head_starts"):
        validate_config(prepare_config(config))
