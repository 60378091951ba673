"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# No test depends on time: on a busy machine an example may take as long as it likes.
settings.register_profile("lossweep", deadline=None)
settings.load_profile("lossweep")
