"""The record of what we own, what we meant to do and what came of it: SQLite, one writer, any number of readers."""
