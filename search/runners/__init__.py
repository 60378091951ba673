"""What runs a sweep's trials: Ray Tune workers, or this very process; both over one desk."""
