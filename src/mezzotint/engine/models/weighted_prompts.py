"""Words with weight and long prompts, for the families whose text encoders give one vector a token.

The pipeline's class becomes a subclass that differs in `encode_prompt` alone: texts with weights, texts longer than the
encoder reads, and all that are read at another layer become embeddings here (the stock way would read the negative text
at the last one); all others go the stock way and keep every bit. It happens inside the run's
own call, so that the text encoders are guarded and cached as ever, and a resumed run reads its texts again.

Source: AUTOMATIC1111's web UI. A chunk is what the encoder reads at once; a text is read chunk by chunk and the chunks
stand one after the other. Vectors of the words are multiplied by their weights; those of CLIP are then scaled back to
the mean that they had, as the web UI does it, but not SDXL's, whose mean is near zero.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mezzotint.domain.drawing.named_weights import find_tokens, match_tokens
from mezzotint.domain.drawing.prompt_weights import Piece, is_weighted, read_weights
from mezzotint.engine.models.describe import WEIGHING
from mezzotint.engine.models.textual_inversion import EMBEDDINGS

MAX_CHUNKS = 8
"""Chunks of one text; what is beyond them is cut, and the job tells it."""
COMMA_BACKTRACK = 20
"""Tokens behind a chunk's last comma that go to the next chunk, rather than being torn apart."""
COMMA = ","
Token = tuple[int, float]
"""Its number and its weight."""


def weigh_words(pipeline: Any) -> Any:
    """The same pipeline, able to weigh words where its family and its text encoders allow it."""
    encoders = [getattr(pipeline, name, None) for name in ("text_encoder", "text_encoder_2")]
    present = [encoder for encoder in encoders if encoder is not None]
    kind: Any = type(pipeline)
    wanted = WEIGHING.get(kind.__name__, frozenset())
    if present and not is_weighing(pipeline) and all(type(encoder).__name__ in wanted for encoder in present):
        # past the pipeline's own __setattr__, which looks every name up in its configuration
        object.__setattr__(pipeline, "__class__", _make_weighing(kind))
    return pipeline


def is_weighing(pipeline: Any) -> bool:
    return getattr(type(pipeline), "weighs_words", False)


def reads_whole(pipeline: Any, text: str) -> bool:
    """Say whether a weighing pipeline reads the whole text."""
    return all(len(reader.split(read_weights(text))) <= reader.max_chunks for reader in _list_readers(pipeline))


@functools.cache
def _make_weighing(kind: Any) -> Any:
    """A subclass of the same name: checkpoints and diffusers' tables know a pipeline by it."""
    stock = kind.encode_prompt
    signature = inspect.signature(stock)

    def encode_prompt(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = signature.bind(self, *args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        is_ours = isinstance(given["prompt"], str) and given["prompt_embeds"] is None
        texts = [text for text in (given["prompt"], given["negative_prompt"]) if isinstance(text, str)]
        if is_ours and (
            given["clip_skip"] is not None
            or any(is_weighted(text) for text in texts)  # the stock way would read the weights as words
            or any(reader.needs_reading(text) for reader in _list_readers(self) for text in texts)
        ):
            _fill_embeddings(self, given)
        return stock(*call.args, **call.kwargs)

    body = {"encode_prompt": encode_prompt, "weighs_words": True}
    return type(kind.__name__, (kind,), {**body, "__module__": kind.__module__, "__qualname__": kind.__qualname__})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reader:
    """A tokenizer and its text encoder. is_chunked: whether it reads long texts chunk by chunk; else it cuts them.
    is_clip: whether the last hidden state is CLIP's, normalised."""

    tokenizer: Any
    encoder: Any
    is_chunked: bool
    is_clip: bool

    @property
    def size(self) -> int:
        """Words' tokens of a chunk, without those at its beginning and end."""
        return int(self.tokenizer.model_max_length) - 2

    @property
    def max_chunks(self) -> int:
        return MAX_CHUNKS if self.is_chunked else 1

    def needs_reading(self, text: str) -> bool:
        """Say whether the text has embeddings, or more than the one chunk that the stock way reads."""
        return bool(find_tokens(text, self.embeddings)) or (self.is_chunked and len(self.split((Piece(text),))) > 1)

    def split(self, pieces: Sequence[Piece]) -> list[list[Token]]:
        """The text's chunks, at least one; not bounded in number."""
        comma = self._tokenize(COMMA)[:1]
        chunks: list[list[Token]] = [[]]
        last_comma = -1
        for piece in pieces:
            if piece.begins_chunk and chunks[-1] and self.is_chunked:
                chunks.append([])
                last_comma = -1
            for tokens in self._tokenize_piece(piece.text):
                if len(chunks[-1]) + len(tokens) > self.size:
                    is_near = last_comma >= 0 and self.size - last_comma <= COMMA_BACKTRACK
                    torn = chunks[-1][last_comma + 1 :] if is_near else []
                    del chunks[-1][len(chunks[-1]) - len(torn) :]
                    chunks += [torn] if len(torn) + len(tokens) <= self.size else [torn, []]
                    last_comma = -1
                if tokens == comma:
                    last_comma = len(chunks[-1])
                chunks[-1] += [(token, piece.weight) for token in tokens]
        return chunks

    @property
    def embeddings(self) -> Mapping[str, Sequence[int]]:
        """Numbers of the vectors that stand for a word, by the word in lower case."""
        return getattr(self.encoder, EMBEDDINGS, {})

    def _tokenize_piece(self, text: str) -> Iterator[list[int]]:
        """Tokens that stay together: the vectors of an embedding, or one of another word."""
        parts = match_tokens(frozenset(self.embeddings)).split(text) if self.embeddings else [text]
        for number, part in enumerate(parts):
            if number % 2:
                yield list(self.embeddings[part.lower()])
            else:
                yield from ([token] for token in self._tokenize(part))

    def _tokenize(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids)

    def frame(self, chunk: Sequence[Token]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The encoder's input [1, L], its attention mask, and the weights [1, L, 1] in float32."""
        words = [token for token, _ in chunk]
        tokenizer, num_pads = self.tokenizer, self.size - len(words)
        begin = tokenizer.bos_token_id if tokenizer.cls_token_id is None else tokenizer.cls_token_id
        end = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
        numbers = torch.tensor([[begin, *words, end, *[tokenizer.pad_token_id] * num_pads]])
        mask = torch.tensor([[1] * (len(words) + 2) + [0] * num_pads])
        weights = torch.tensor([1.0, *(weight for _, weight in chunk), *[1.0] * (num_pads + 1)])
        return numbers, mask, weights[None, :, None]


def _list_readers(pipeline: Any) -> list[Reader]:
    pairs = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
    found = [(getattr(pipeline, one, None), getattr(pipeline, other, None)) for one, other in pairs]
    is_double = hasattr(pipeline, "text_encoder_2")
    return [
        Reader(
            tokenizer=tokenizer,
            encoder=encoder,
            is_chunked=type(tokenizer).__name__.startswith("CLIP"),
            is_clip=type(tokenizer).__name__.startswith("CLIP") and not is_double,
        )
        for tokenizer, encoder in found
        if encoder is not None
    ]


def _fill_embeddings(pipeline: Any, given: dict[str, Any]) -> None:
    """Put embeddings in the place of the texts. given: arguments of the stock `encode_prompt`."""
    readers = _list_readers(pipeline)
    device = given["device"] or pipeline._execution_device
    is_double = "pooled_prompt_embeds" in given
    is_guided = given["do_classifier_free_guidance"]
    zeroes = given["negative_prompt"] is None and is_double and pipeline.config.force_zeros_for_empty_prompt
    texts = [given["prompt"], *([given["negative_prompt"] or ""] if is_guided and not zeroes else [])]
    chunks = [[reader.split(read_weights(text))[: reader.max_chunks] for reader in readers] for text in texts]
    length = max(len(one) for of_text in chunks for one in of_text)  # guidance compares texts of one length
    encode = _encode_double if is_double else _encode_single
    read = [
        [encode(reader, [*one, *[[]] * (length - len(one))], device, given["clip_skip"]) for reader, one in pairs]
        for pairs in (list(zip(readers, of_text, strict=True)) for of_text in chunks)
    ]
    names = [("prompt_embeds", "pooled_prompt_embeds"), ("negative_prompt_embeds", "negative_pooled_prompt_embeds")]
    for (embeds, pooled), parts in zip(names, read, strict=False):
        given[embeds] = torch.cat([vectors for vectors, _ in parts], dim=-1)
        if is_double:
            given[pooled] = parts[-1][1]
    given["prompt"] = given["negative_prompt"] = None
    for name in ("prompt_2", "negative_prompt_2"):
        if name in given:
            given[name] = None


def _encode_single(
    reader: Reader, chunks: Sequence[Sequence[Token]], device: Any, clip_skip: int | None
) -> tuple[torch.Tensor, None]:
    """As `StableDiffusionPipeline.encode_prompt` reads a text; [1, L x chunks, width]."""
    takes_mask = getattr(reader.encoder.config, "use_attention_mask", False)

    def read(numbers: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        attention = mask.to(device) if takes_mask else None
        if clip_skip is None:
            found: torch.Tensor = reader.encoder(numbers.to(device), attention_mask=attention)[0]
            return found
        states = reader.encoder(numbers.to(device), attention_mask=attention, output_hidden_states=True)[-1]
        read: torch.Tensor = states[-(clip_skip + 1)]
        return getattr(reader.encoder, "text_model", reader.encoder).final_layer_norm(read) if reader.is_clip else read

    return _read_chunks(reader, chunks, read), None


def _encode_double(
    reader: Reader, chunks: Sequence[Sequence[Token]], device: Any, clip_skip: int | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As `StableDiffusionXLPipeline.encode_prompt` reads a text; also the first chunk's pooled vector."""
    pooled: list[torch.Tensor] = []

    def read(numbers: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        output = reader.encoder(numbers.to(device), output_hidden_states=True)
        if output[0].ndim == 2:
            pooled.append(output[0])
        found: torch.Tensor = output.hidden_states[-2 if clip_skip is None else -(clip_skip + 2)]
        return found

    return _read_chunks(reader, chunks, read), next(iter(pooled), None)


def _read_chunks(
    reader: Reader, chunks: Sequence[Sequence[Token]], read: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    vectors: list[torch.Tensor] = []
    for chunk in chunks:
        numbers, mask, weights = reader.frame(chunk)
        found = read(numbers, mask)
        if any(weight != 1.0 for _, weight in chunk):
            found = _multiply(found, weights.to(found.device), keeps_mean=reader.is_clip)
        vectors.append(found)
    return torch.cat(vectors, dim=1)


def _multiply(vectors: torch.Tensor, weights: torch.Tensor, *, keeps_mean: bool) -> torch.Tensor:
    weighted = vectors.float() * weights
    if keeps_mean:
        after = weighted.mean()
        weighted = weighted * torch.where(after == 0, 1.0, vectors.float().mean() / after)
    return weighted.to(vectors.dtype)
