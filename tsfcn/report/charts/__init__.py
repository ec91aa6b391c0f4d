"""The charts of a page, a module for each section that has one: the same numbers give the same SVG, byte for byte."""
