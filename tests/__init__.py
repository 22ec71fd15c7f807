"""Tests, grouped by what is real in them."""
