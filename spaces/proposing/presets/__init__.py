"""The spaces that come with lossweep, each a YAML file of what stands under ``space:`` in a sweep file."""
