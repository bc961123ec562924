"""The charts of a comparison: Vega-Lite specifications, drawn on the page and as pictures."""
