"""How much sound a file holds, counted in its bytes: headers lie, are never completed, or count a part only.

`parts` gives libsndfile what it can decode to the end: files whose headers say what the bytes hold.
"""

from tasks.audio.containers.codecs import HINT
from tasks.audio.containers.detection import parts
from tasks.audio.containers.part import Part

__all__ = ["HINT", "Part", "parts"]
