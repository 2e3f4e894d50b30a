"""What a deployment may ask for: the limits of protocol reference 1.5 (SDK go/node/deployment/v1beta4)."""

from __future__ import annotations

CPU_MIN, CPU_MAX = 10, 384_000
"""Millicores of a unit."""
GPU_MAX = 24
MEMORY_MIN, MEMORY_MAX = 1 << 20, 2 << 40
"""Bytes of a unit."""
VOLUME_MIN, VOLUME_MAX = 5 << 20, 32 << 40
"""Bytes of a volume."""
UNIT_PRICE_MAX = 10_000_000
"""uve a block for a unit."""
GROUP_UNITS_MAX = 50
