"""Reads charts: the layers of a Vega-Lite specification with the rows that they draw."""


def layers(spec):
    """(type, encoding, rows, properties) of each layer's mark, the first at the back."""
    parts = [
        layer for part in spec.get("concat", spec.get("vconcat", [spec])) for layer in part["layer"]
    ]
    return [(p["mark"]["type"], p.get("encoding", {}), rows(p, spec), p["mark"]) for p in parts]


def rows(layer, spec):
    data = layer.get("data", spec.get("data", {}))
    return spec["datasets"][data["name"]] if "name" in data else data.get("values", [])


def points(spec):
    """The rows of layers of points, the first at the back."""
    return [rows for kind, _, rows, _ in layers(spec) if kind == "point"]


def lines(spec):
    """The runs' lines that are seen: title -> its points."""
    return {
        row["run"]: list(zip(row["x"], row["y"], strict=True))
        for kind, _, rows, mark in layers(spec)
        if kind == "line" and mark.get("strokeOpacity") != 0
        for row in rows
        if "run" in row
    }


def texts(spec):
    return {row["text"] for kind, _, rows, _ in layers(spec) if kind == "text" for row in rows}


def domain(spec, axis):
    return next(e[axis]["scale"]["domain"] for _, e, _, _ in layers(spec) if axis in e)
