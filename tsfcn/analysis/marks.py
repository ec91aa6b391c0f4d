"""Marks of rows that need care, and their meanings."""

from __future__ import annotations

OFF_PAPER = "off-paper"
TEST_SELECTED = "TEST-SELECTED"
EARLY = "early-files"
UNKNOWN = "unknown-files"
LOW_PRECISION = "low-precision"
MEANINGS = {
    OFF_PAPER: "not what the protocol's paper ran: another model, or a changed setting",
    TEST_SELECTED: "the test set chose the weights: an upper bound, not an estimate of accuracy",
    EARLY: "trained on an early revision of the archive, whose cases or values are not the official ones",
    UNKNOWN: "trained on files whose content is not the official one, though their sizes are",
    LOW_PRECISION: "trained in bfloat16 or TF32, which the protocol's brackets name, and otherwise as published",
}
CHANGED = "brackets after a name, as in fawaz2019[epochs=3], hold the settings that differ from the published ones"
