"""Running a sweep: driver, dispatcher, and the runners that train its trials."""
