#!/usr/bin/env bash
# What a machine with an NVIDIA GPU does: `bench/gpu.sh [STEP...]`, steps scout tools engine graph; default: all.
# A step that cannot run here says why and is left out. Exit status 3: no GPU; 2: wrong input; 1: a step that could run
# has failed.
#
#   SCOUT_MODEL   an instruct model of about 1B for the Scout: a folder or a name (qwen2.5-coder-0.5b-instruct)
#   ENGINE_MODEL  a folder or a name for the quality and throughput of an engine (qwen2.5-coder-0.5b-instruct)
#   CONFIG        the graph to serve (configs/gpu-1.yaml)
#   PYTHON        with the gpu profile installed (.venv/bin/python)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=${PYTHON:-.venv/bin/python}
SCOUT_MODEL=${SCOUT_MODEL:-qwen2.5-coder-0.5b-instruct}
ENGINE_MODEL=${ENGINE_MODEL:-qwen2.5-coder-0.5b-instruct}
CONFIG=${CONFIG:-configs/gpu-1.yaml}
OUT=${OUT:-bench/results}
FAILED=0

skip() { echo "skip $1: $2"; }
has() { "$PYTHON" -c "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))" "$@" 2>/dev/null; }
sees_gpu() { "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; }

measure() { # NAME COMMAND...
  local name=$1
  shift
  echo "== $name: $*"
  "$@" || { echo "FAILED $name" >&2; FAILED=1; }
}

scout() {
  has torch transformers || { skip scout "torch or transformers is not installed"; return; }
  local bits=(16)
  if has bitsandbytes; then bits+=(4); else skip "scout at 4 bits" "bitsandbytes is not installed"; fi
  measure scout "$PYTHON" -m bench.gpu_scout --backend causal_lm --model "$SCOUT_MODEL" --bits "${bits[@]}" \
    --json "$OUT/gpu-scout.json"
}

tools() {
  has torch transformers bitsandbytes || { skip tools "torch, transformers or bitsandbytes is not installed"; return; }
  measure tools "$PYTHON" -m bench.gpu_tools --model "$ENGINE_MODEL" --json "$OUT/gpu-tools.json"
}

engine() {
  has vllm || { skip engine "vLLM is not installed: make setup PROFILE=gpu"; return; }
  local folder
  folder=$("$PYTHON" -c 'import sys; from pathlib import Path; from models import store; m = sys.argv[1]; print(m if Path(m).is_dir() else store.path(m))' "$ENGINE_MODEL") \
    || { skip engine "$ENGINE_MODEL is not on this machine: pointsman models fetch, or a folder in ENGINE_MODEL"; return; }
  measure engine "$PYTHON" -m vllm.entrypoints.cli.main bench throughput --model "$folder" --input-len 512 \
    --output-len 128 --num-prompts 256 --max-model-len 4096 --output-json "$OUT/gpu-engine.json"
}

graph() {
  has vllm ray || { skip graph "vLLM or Ray is not installed: make setup PROFILE=gpu"; return; }
  "$PYTHON" -m serve.cli doctor --config "$CONFIG" || { skip graph "the doctor found something to mend for $CONFIG"; return; }
  local log ready=1
  log=$(mktemp)
  "$PYTHON" -m serve.cli up --config "$CONFIG" --no-watch >"$log" 2>&1 &
  local pid=$!
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || break
    "$PYTHON" -m serve.cli doctor --url http://127.0.0.1:8000 >/dev/null 2>&1 && { ready=0; break; }
    sleep 2
  done
  if [ "$ready" = 0 ]; then
    measure graph "$PYTHON" -m bench.load --requests 400 --concurrency 16 --stream --max-tokens 64 \
      --api-key-env POINTSMAN_API_KEY --json "$OUT/gpu-graph.json"
  else
    tail -n 20 "$log" >&2
    echo "FAILED graph: it did not become ready" >&2
    FAILED=1
  fi
  kill -TERM "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  rm -f "$log"
}

needs() {
  cat >&2 <<EOF
bench/gpu.sh needs a machine with an NVIDIA GPU (nvidia-smi, and a torch that sees it). Here is none.
  scout   p50 and p99 of a Scout at batch 1 to 32, bf16 and 4 bits: torch, transformers, bitsandbytes
  tools   brackets dropped and valid tool calls at 16, 8 and 4 bits: the same
  engine  tokens a second of vLLM alone: vllm 0.32
  graph   the whole graph under load: the gpu profile, the models of $CONFIG, a key in POINTSMAN_API_KEY
Install with: make setup PROFILE=gpu. On the processor, in a tiny form:
  python -m bench.gpu_scout --device cpu --bits 32 --batch 1
EOF
}

[ $# -gt 0 ] || set -- scout tools engine graph
for step in "$@"; do
  case $step in
    scout | tools | engine | graph) ;;
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' bench/gpu.sh; exit 0 ;;
    *) echo "no step is called '$step': scout, tools, engine, graph" >&2; exit 2 ;;
  esac
done
if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L >/dev/null 2>&1; then
  needs
  exit 3
fi
[ -x "$(command -v "$PYTHON")" ] || { echo "there is no $PYTHON: make setup PROFILE=gpu, or set PYTHON" >&2; exit 2; }
if ! sees_gpu; then
  needs
  exit 3
fi
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
mkdir -p "$OUT"
for step in "$@"; do "$step"; done
exit "$FAILED"
