"""Charts as SVG: what Vega writes, made light for a page and quick to paint."""
