"""The fuzz: properties that hold for every input. README.md says which, and what they found."""
