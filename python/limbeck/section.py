"""What every part of a recipe has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen part of a recipe that knows all of its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
