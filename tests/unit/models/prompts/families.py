"""Models of seventeen kinds: a chat template, and a tiny tokenizer of the family's sort.

The templates are rebuilt after the published ones. Most of their parts for tools are left out.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEMPLATES = Path(__file__).parent / "templates"
#: What the tokenizers learn their words from.
_TEXT = [path.read_text("utf-8") for path in sorted(TEMPLATES.glob("*.jinja"))] + [
    "What is the capital of France? Paris. Hello there, how are you today? I am fine, thank you!",
    "Wie heißt die Hauptstadt von Frankreich? 法国的首都是巴黎。 Привет! 1 + 1 = 2\n\n- one\n- two\n\tthree",
] * 3
_SPLIT = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


#: Makes a tokenizer that has these special tokens.
Build = Callable[[Sequence[str]], Tokenizer]


class Family(NamedTuple):
    """``special`` and ``plain`` are its added tokens, ``word`` those that are blanks, or elements of HTML."""

    build: Build
    bos: str | None
    eos: str
    special: tuple[str, ...]
    plain: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    flags: dict[str, bool] = {}  # noqa: RUF012 - never changed
    has_system: bool = True


def _trained(made: Tokenizer, trainer: Any) -> Tokenizer:
    made.train_from_iterator(_TEXT, trainer)
    return made


def _byte_level(normalizer: Any = None, split: Regex | None = None, **given: Any) -> Build:
    def build(_special: Sequence[str]) -> Tokenizer:
        made = Tokenizer(models.BPE(**given))
        if normalizer is not None:
            made.normalizer = normalizer
        last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
        steps = [last] if split is None else [pre_tokenizers.Split(split, "isolated"), last]
        made.pre_tokenizer = pre_tokenizers.Sequence(steps)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        return _trained(made, trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False))

    return build


def _pieces(normalizer: Any, pre_tokenizer: Any) -> Build:
    """A BPE of pieces with ``▁``, with its control tokens in its vocabulary, and bytes for what it lacks."""

    def build(special: Sequence[str]) -> Tokenizer:
        made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        if normalizer is not None:
            made.normalizer = normalizer
        if pre_tokenizer is not None:
            made.pre_tokenizer = pre_tokenizer
        made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        first = ["<unk>", *special, *(f"<0x{byte:02X}>" for byte in range(256))]
        trained = _trained(made, trainers.BpeTrainer(vocab_size=1000, special_tokens=first, show_progress=False))
        content = json.loads(trained.to_str())
        content["added_tokens"] = []
        return Tokenizer.from_str(json.dumps(content))

    return build


def _unigram(special: Sequence[str]) -> Tokenizer:
    """A Unigram model finds its control tokens in plain texts, as they are words of its vocabulary."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = decoders.Metaspace(prepend_scheme="first")
    first = ["<unk>", *special]
    given: dict[str, Any] = {"vocab_size": 400, "special_tokens": first, "unk_token": "<unk>", "show_progress": False}
    content = json.loads(_trained(made, trainers.UnigramTrainer(**given)).to_str())
    content["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(content))


_llama3 = _byte_level(None, _SPLIT, ignore_merges=True)
_qwen = _byte_level(normalizers.NFC(), _SPLIT)
_gpt2 = _byte_level()
_prepended = _pieces(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None)
_first = _pieces(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))
_gemma = _pieces(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"))

_HEADERS = ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|reserved_0|>")
_THINK = ("<think>", "</think>")
_HARMONY = ("<|startoftext|>", "<|return|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>")
_PHI = ("<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>")
_GRANITE = ("<|end_of_text|>", "<fim_prefix>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>")
_BOTH = {"lstrip": True, "rstrip": True}
_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TOOLS = ("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|repo_name|>")
_TURNS = ("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>")
_RUNS = ("\n\n", "\n\n\n", "▁▁", "▁▁▁", "<table>", "</h1>")
_DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>")

FAMILIES = {
    "llama-3.2": Family(_llama3, _HEADERS[0], _HEADERS[1], _HEADERS),
    "llama-guard-3": Family(_llama3, _HEADERS[0], _HEADERS[1], _HEADERS, has_system=False),
    "mistral-v0.3": Family(_first, "<s>", "</s>", ("<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]")),
    "qwen2.5": Family(_qwen, None, "<|im_end|>", _CHATML, _TOOLS),
    "qwen3": Family(_qwen, None, "<|im_end|>", _CHATML, (*_TOOLS, *_THINK, "<tool_response>")),
    "smollm2": Family(_gpt2, "<|im_start|>", "<|im_end|>", (*_CHATML, "<repo_name>", "<jupyter_start>")),
    "smollm3": Family(_llama3, None, "<|im_end|>", (*_CHATML, "<|begin_of_text|>"), (*_THINK, "<tool_call>")),
    "gemma-2": Family(_gemma, "<bos>", "<eos>", _TURNS, ("<unused0>", "<mask>"), _RUNS, has_system=False),
    "gemma-3": Family(_gemma, "<bos>", "<eos>", (*_TURNS, "<start_of_image>"), ("<unused0>",), _RUNS),
    "phi-3": Family(
        _prepended,
        "<s>",
        "<|endoftext|>",
        ("<s>", *_PHI, "<|system|>"),
        ("</s>",),
        flags={"rstrip": True},
    ),
    "phi-4": Family(_llama3, "<|endoftext|>", "<|im_end|>", (*_CHATML, "<|im_sep|>"), flags=_BOTH),
    "phi-4-mini": Family(_llama3, _PHI[0], _PHI[0], _PHI, ("<|tool|>", "<|system|>")),
    "gpt-oss": Family(_llama3, _HARMONY[0], _HARMONY[1], _HARMONY),
    "deepseek-r1-distill": Family(
        _qwen,
        _DEEPSEEK[0],
        _DEEPSEEK[1],
        _DEEPSEEK,
        ("<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<｜tool▁outputs▁end｜>", "<｜fim▁hole｜>"),
        ("ø", "ö", "ü"),
    ),
    "granite-3": Family(_gpt2, _GRANITE[0], _GRANITE[0], _GRANITE),
    "hermes": Family(_prepended, "<s>", "<|im_end|>", ("<s>", "</s>", "<|im_end|>"), ("<|im_start|>", "<dummy00002>")),
    "zephyr": Family(_prepended, "<s>", "</s>", ("<s>", "</s>")),
    "hermes on unigram": Family(
        _unigram, "<s>", "<|im_end|>", ("<s>", "</s>", "<|im_end|>"), ("<|im_start|>", *_THINK)
    ),
    "qwen with normalized tokens": Family(
        _byte_level(normalizers.Lowercase(), _SPLIT), None, "<|im_end|>", _CHATML, _TOOLS, flags={"normalized": True}
    ),
}


def write(folder: Path, name: str) -> Path:
    """The small files of a model of this family."""
    family = FAMILIES[name]
    made = family.build([*family.special, *family.words])
    flags = {"normalized": False} | family.flags
    made.add_special_tokens([AddedToken(each, special=True, **flags) for each in ("<unk>", *family.special)])
    made.add_tokens([AddedToken(each, special=False, normalized=False) for each in (*family.plain, *family.words)])
    if family.bos is not None:
        made.post_processor = processors.TemplateProcessing(
            f"{family.bos} $A", None, [(family.bos, made.token_to_id(family.bos))]
        )
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    template = "qwen2.5" if name.startswith("qwen with") else name.split(" on ")[0]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": family.bos,
        "eos_token": family.eos,
        "unk_token": "<unk>",
        "chat_template": (TEMPLATES / f"{template}.jinja").read_text("utf-8"),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    shape = {"max_position_embeddings": 4096, "architectures": ["LlamaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(shape))
    return folder


def control_texts(name: str) -> list[str]:
    """The texts of its control tokens."""
    family = FAMILIES[name]
    return [*family.special, *family.plain]
