"""What the editor of a form posts, as a browser would send it."""

from __future__ import annotations

from typing import Any

from annotate.models import Form
from annotate.services import asked


def posted(form: Form, **changes: Any) -> dict[str, Any]:
    """The fields of a form, or as `changes` would have them; a tick that is not set is not sent."""
    values = asked.values(form) | changes
    aspects = values.pop("aspects")
    sent: dict[str, Any] = {"began_from": values.pop("began_from", form.number)}
    sent |= {f"aspect_{part}": [aspect[part] for aspect in aspects] for part in ("key", "label", "kind")}
    for field, value in values.items():
        if field in asked.YES_OR_NO:
            sent |= {field: "on"} if value else {}
        elif field in asked.SHARES:
            sent[field] = "" if value is None else f"{value * 100:g}"
        elif field in ("reasons", "mix_by"):
            sent[field] = ("\n" if field == "reasons" else ", ").join(value)
        else:
            sent[field] = "" if value is None else getattr(value, "pk", value)
    return sent
