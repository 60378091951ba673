"""What a folder that nobody described holds: where its images and masks lie, and what the masks mean."""
