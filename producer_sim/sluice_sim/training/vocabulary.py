"""A CLIP tokenizer of the simulator's English: byte-level BPE, learnt from its prompts.

The layout is CLIP's: 256 bytes, the same 256 at the end of a word, one token per merge, and the two marks last, so
that the end-of-text id is the highest. Any text at all can be written with it; known words are one token each.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

CONTEXT: Final = 77
_MERGES: Final = 400


def learn(prompts: Iterable[str]) -> CLIPTokenizer:
    """Learn at most 400 merges from the prompts; the same prompts give the same tokenizer."""
    alphabet = sorted(ByteLevel.alphabet())
    blank = CLIPTokenizer().backend_tokenizer
    trainer = BpeTrainer(
        vocab_size=2 * len(alphabet) + _MERGES,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    blank.train_from_iterator(prompts, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(blank.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    vocab |= {mark: len(vocab) + i for i, mark in enumerate(("<|startoftext|>", "<|endoftext|>"))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CONTEXT)


def save(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the tokenizer with its classic vocab.json and merges.txt beside the newer tokenizer.json."""
    tokenizer.backend_tokenizer.no_padding()  # else the file would remember how training padded
    tokenizer.save_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]))
