"""What a person sees: MLflow tracking, the report and its plots, overlays, and serving them."""
