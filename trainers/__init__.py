"""How one schedule is trained and measured: data, losses, metrics, guards and the training loop.

Importable without Ray, Optuna and MLflow. Modules that need torch import it themselves; importing this
package does not.
"""
