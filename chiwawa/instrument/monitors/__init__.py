"""Monitors: tables, listings and documents, which are functions of what was counted."""
