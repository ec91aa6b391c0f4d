"""What the tables look like: text, Markdown, SVG and HTML."""
