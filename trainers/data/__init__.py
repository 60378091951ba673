"""Images and masks: where they come from, how they are checked, cached, cut into tiles and augmented."""
