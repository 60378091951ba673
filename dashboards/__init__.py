"""What a person sees: MLflow tracking, figures, the report, overlays, and serving them."""
