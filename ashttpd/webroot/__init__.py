"""What a webroot file is: its specification (FORMAT.md), its numbers (layout), its reader.

Nothing here knows HTTP beyond status numbers; nothing writes.
"""
