"""`SuffixDecodingCache` of ArcticInference over a history that lasts and is shared; see
`reprise.compat.cache`.
"""

from .cache import SuffixDecodingCache
from .draft import SuffixDecodingDraft

__all__ = ["SuffixDecodingCache", "SuffixDecodingDraft"]
