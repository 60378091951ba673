"""What each section of the page says, as plain values: Python makes them, the templates in `page/` draw them.

Words are as the user wrote them; the templates escape them.
"""
