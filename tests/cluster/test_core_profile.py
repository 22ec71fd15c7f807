"""The configuration without an engine: any local server and the cloud, through both of Serve's proxies."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from tests.cluster.conftest import ROOT, client_of, patient, up
from tests.support.upstream import ThreadedUpstream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
SECRET: list[Any] = [{"role": "user", "content": "My SSN is 536-90-4399, please fill in the form"}]


def lane_of(ask: openai.OpenAI) -> str:
    """Who answered, which the upstream did in its own words."""
    raw = ask.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    assert "upstream" in (raw.parse().choices[0].message.content or "")
    return raw.headers["x-pointsman-lane"]


@pytest.mark.parametrize("proxy", ["haproxy", "plain"])
def test_a_local_server_and_the_cloud_need_no_engine(proxy: str, tmp_path: Path) -> None:
    config = patient("laptop-ollama.yaml", tmp_path)
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        places = {
            "LOCAL_BASE_URL": f"{local.url}/v1",
            "OPENAI_BASE_URL": f"{cloud.url}/v1",
            "OPENAI_API_KEY": "sk-loopback",
            "ANTHROPIC_API_KEY": "",
        }
        with up(config, places, "--proxy", proxy) as (_pid, url), client_of(url) as ask:
            assert lane_of(ask) == "local-general"
            local.stop()
            chunks = list(ask.chat.completions.create(model="auto", messages=HELLO, stream=True))
            assert "upstream" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            before = len(cloud.received_bytes)
            with pytest.raises(openai.APIStatusError) as error:
                ask.chat.completions.create(model="auto", messages=SECRET)
            assert error.value.status_code == 503
            assert len(cloud.received_bytes) == before > 0
            local.start()


def test_without_any_key_pointsman_is_sovereign() -> None:
    with ThreadedUpstream() as local:
        places = {"LOCAL_BASE_URL": f"{local.url}/v1", "OPENAI_API_KEY": "", "ANTHROPIC_API_KEY": ""}
        with up("configs/laptop-ollama.yaml", places) as (_pid, url), client_of(url) as ask:
            assert ask.chat.completions.create(model="auto", messages=HELLO).choices[0].message.content
            with pytest.raises(openai.APIStatusError) as error:
                ask.chat.completions.create(model="cloud-openai", messages=HELLO)
    assert error.value.status_code == 503
    assert "set OPENAI_API_KEY" in error.value.message


def test_serve_build_writes_the_graph(tmp_path: Path) -> None:
    target = tmp_path / "serve.yaml"
    command = [str(Path(sys.executable).with_name("serve")), "build", "serve.app:app", "-o", str(target)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    application = yaml.safe_load(target.read_text())["applications"][0]
    assert {d["name"] for d in application["deployments"]} == {
        "Router",
        "Scout",
        "CloudProxy",
        "Engine-small",
        "Encoder-local-embeddings",
    }
