"""Puts an upstream's own name for a model into a body; everything else stays as it was, byte for byte. Pure."""

from collections.abc import Mapping

import msgspec

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def rename_model(body: bytes, model: str | None, model_map: Mapping[str, str]) -> bytes:
    """The body as it came, unless the map has another name for its model."""
    if model is None or model not in model_map:
        return body
    fields = _decode(body)
    fields["model"] = msgspec.Raw(_encode(model_map[model]))
    return _encode(fields)
