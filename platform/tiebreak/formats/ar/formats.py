"""Arabic with the digits 0 to 9, whose marks in numbers are then those of English."""

from typing import Final

DATETIME_FORMAT: Final = "j F Y، g:i A"
DECIMAL_SEPARATOR: Final = "."
THOUSAND_SEPARATOR: Final = ","
