"""What a webroot file is: its specification (FORMAT.md), its numbers (layout), its reader.

Of HTTP it knows status numbers and what a stored head may say (heads, grammar); nothing writes.
"""
