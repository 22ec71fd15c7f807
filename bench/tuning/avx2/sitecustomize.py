"""Makes every Python process that finds this folder first take this processor for one with AVX2 and no more.

vLLM asks torch what the processor can do and loads its kernels accordingly (vllm/platforms/cpu.py, `import_kernels`);
oneDNN and torch's own kernels have environment variables for it, which `bench.tuning` sets.
"""

import torch.cpu

for question in ("_is_avx512_supported", "_is_avx512_bf16_supported", "_is_vnni_supported", "_is_amx_tile_supported",
                 "_is_amx_fp16_supported"):  # fmt: skip
    if hasattr(torch.cpu, question):
        setattr(torch.cpu, question, lambda: False)
