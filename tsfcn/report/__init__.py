"""What users read: tables as text and Markdown, the README of a results folder, and the HTML page with its charts."""
