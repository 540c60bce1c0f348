"""Sets the profile before any property is defined, which is when hypothesis looks at it."""

from fuzz import profiles

profiles.load()
