"""Export the tuned MiniLM as int8 ONNX (per channel, dynamic activations, about 23 MB) with its tokenizer.

python training/safety/export_strong.py RUN/model.pt --out RUN
"""

import argparse
import shutil
from pathlib import Path

import torch
from encoder import TOKENIZER_FILE, Classifier, load_classifier
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process


def export(network: Classifier, path: Path) -> None:
    """Write the ONNX file; nothing of it depends on the length of the text used to trace it."""
    ids = torch.tensor([[101, 2023, 2003, 1037, 3231, 102], [101, 2178, 102, 0, 0, 0]])
    mask = (ids != 0).long()
    full, prepared = path.with_suffix(".full.onnx"), path.with_suffix(".prepared.onnx")
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        network,
        (ids, mask),
        str(full),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    quant_pre_process(str(full), str(prepared), skip_symbolic_shape=True)
    quantize_dynamic(str(prepared), str(path), per_channel=True, weight_type=QuantType.QInt8)
    full.unlink()
    prepared.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    export(load_classifier(asked.model), asked.out / "minilm_int8.onnx")
    shutil.copy(TOKENIZER_FILE, asked.out / "minilm_tokenizer.json")


if __name__ == "__main__":
    main()
