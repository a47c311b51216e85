"""LoRA adapters: what ``adapter_config.json`` says, and where the base model is that they were trained for."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lengthwise.errors import ConfigurationError
from lengthwise.models import hub_cache, model_file
from lengthwise.models.published.naming import said
from worker.importing.weights.forms import ADAPTER

#: Settings with which a module's weights are not ``W + scale * B @ A``. Each stands for something of its own.
_UNLIKE = (
    *("lora_bias", "alpha_pattern", "layer_replication", "target_parameters", "trainable_token_indices"),
    "alora_invocation_tokens",
)
#: Those of newer versions are called alike (``use_dora``, ``corda_config``); only these of them change no weight.
_KNOWN = ("use_rslora", "eva_config")
#: Values of ``init_lora_weights`` that leave the base model as it is.
_HARMLESS_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")


class AdapterShape(BaseModel):
    """What is read from ``adapter_config.json``."""

    model_config = ConfigDict(frozen=True)

    peft_type: str
    base_model_name_or_path: Annotated[str, Field(min_length=1, max_length=1000)]
    revision: str | None = None
    task_type: Literal["CAUSAL_LM", "SEQ_2_SEQ_LM", "FEATURE_EXTRACTION", "SEQ_CLS"] | None = None
    lora_alpha: Annotated[float, Field(allow_inf_nan=False)] = 8
    use_rslora: bool = False
    fan_in_fan_out: bool = False


def read(folder: Path) -> AdapterShape:
    """The adapter's configuration. Raises ``ConfigurationError`` for one that cannot be merged as LoRA."""
    found = model_file.read_json(folder, ADAPTER, dict)
    if found.get("peft_type") != "LORA":
        raise ConfigurationError(f"it is an adapter of the type {said(found.get('peft_type'))}: only LoRA is merged")
    unlike = [name for name, value in found.items() if value and _is_unlike(name)]
    if found.get("init_lora_weights") not in _HARMLESS_STARTS:
        unlike.append("init_lora_weights")
    if unlike:
        raise ConfigurationError(
            f"its {ADAPTER} asks for {said(unlike[0])}, which is not merged: take the merged model"
        )
    return model_file.checked(found, AdapterShape, ADAPTER)


def _is_unlike(name: str) -> bool:
    return name in _UNLIKE or ((name.startswith("use_") or name.endswith("_config")) and name not in _KNOWN)


def base(adapter: AdapterShape) -> Path:
    """The folder of the base model. Raises ``ConfigurationError``, which says how to fetch it if it is not here."""
    name = adapter.base_model_name_or_path
    if Path(name).is_dir():
        return Path(name)
    if not hub_cache.is_id(name):
        missing = "which is no folder of this machine and no name of the hub"
        raise ConfigurationError(f"it is a LoRA adapter of {said(name)}, {missing}: correct {ADAPTER}")
    found = hub_cache.folder(name, adapter.revision)
    if found is None:
        revision = f" --revision {shlex.quote(adapter.revision)}" if adapter.revision else ""
        fetch = f"fetch it: hf download {name}{revision}"
        raise ConfigurationError(f"it is a LoRA adapter of {name}, which is not on this machine; {fetch}")
    return found
