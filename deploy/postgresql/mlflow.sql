-- Run once by the image of PostgreSQL when its volume is empty. MLflow has a database of its own: both it and Optuna keep a table
-- called alembic_version.
CREATE DATABASE mlflow;
