"""The spaces that come with lossweep, each a YAML file of the shape that stands under ``space:`` in a sweep file."""
